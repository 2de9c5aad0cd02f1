import pytest
from torchvision.datasets import Imagenette

from datamodules.labels import display_names, map_labels
from datamodules.sources.imagenette import SIZES, list_imagenette
from tests.datamodules.sources.stand_ins import write_imagenette


@pytest.mark.parametrize(("size", "folder"), SIZES.items())
def test_images_are_those_of_torchvision(tmp_path, monkeypatch, size, folder):
    write_imagenette(tmp_path, monkeypatch, size, folder)
    source = list_imagenette(tmp_path, size, download=False)
    reference = Imagenette(tmp_path, "train", size)
    assert source.classes == reference.wnids
    assert {split: len(samples) for split, samples in source.splits.items()} == {"train": 6, "val": 3}
    assert map_labels(source, None).indices == [0, 217, 482]
    assert display_names(source)[1].startswith(reference.classes[1][0])
    assert (tmp_path / folder / "train").is_dir()


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no imagenette2-320: set data\.download to true, or fetch https.*-320.tgz"
    ):
        list_imagenette(tmp_path, "320px", download=False)

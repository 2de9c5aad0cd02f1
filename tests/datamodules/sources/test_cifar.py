import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from datamodules.decoding import read_pixels
from datamodules.sources.cifar import list_cifar
from tests.datamodules.sources.stand_ins import write_cifar


@pytest.mark.parametrize(("name", "kind"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)])
def test_images_are_those_of_torchvision(tmp_path, monkeypatch, name, kind):
    write_cifar(tmp_path, monkeypatch, name)
    source = list_cifar(tmp_path, name, download=False)
    assert list(source.splits) == ["train", "test"]
    for split, samples in source.splits.items():
        reference = kind(tmp_path, train=split == "train")
        assert len(samples) == len(reference) == {"train": len(kind.train_list) * 12, "test": 8}[split]
        assert samples.labels.tolist() == reference.targets
        assert source.classes == reference.classes
        for position in (0, 7):
            pixels = read_pixels(samples.encoded(position)).permute(1, 2, 0)
            np.testing.assert_array_equal(pixels, reference[position][0])
    assert source.splits["test"].name(3) == "test/class3/00003"


def test_a_part_keeps_its_images(tmp_path, monkeypatch):
    write_cifar(tmp_path, monkeypatch)
    samples = list_cifar(tmp_path, "cifar10", download=False).splits["train"]
    part = samples.take(np.array([9, 4]))
    np.testing.assert_array_equal(part.encoded(1), samples.encoded(4))


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"holds no cifar-10-batches-py: set data\.download to true, or fetch https://.*gz \(md5 c5",
    ):
        list_cifar(tmp_path, "cifar10", download=False)


def test_other_contents_are_never_unpickled(tmp_path, monkeypatch):
    write_cifar(tmp_path, monkeypatch)
    list_cifar(tmp_path, "cifar10", download=False)
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes() + b"x")
    with pytest.raises(OSError, match=r"cifar-10-batches-py' is damaged or incomplete: remove it, and it is unpacked"):
        list_cifar(tmp_path, "cifar10", download=False)

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ImageData
from datamodules.embedded import embedded_photographs


def test_batches_keep_the_contract(make_tree):
    data = ImageData(str(make_tree({"train": 3, "val": 2})), batch_size=4, resize=24, crop=20, num_workers=0)
    data.setup("fit")
    for loader, count in ((data.train_dataloader(), 8), (data.val_dataloader(), 6)):
        batches = list(loader)
        images = torch.cat([batch["image"] for batch in batches])
        assert images.shape == (count, 3, 20, 20)
        assert images.dtype == torch.float32
        assert 0 <= images.min() < images.max() <= 1
        ids = torch.cat([batch["id"] for batch in batches])
        assert ids.dtype == torch.int64
        assert len(set(ids.tolist())) == count
    assert data.classes == ["ant", "bee", "cat"]
    assert data.imagenet_indices is None


def test_images_are_resized_by_the_short_side_and_center_cropped(make_tree):
    root = make_tree({"train": 1, "val": 1}, size=(60, 40))
    data = ImageData(str(root), batch_size=1, resize=20, crop=12, num_workers=0)
    data.setup("validate")
    sample = data.val_dataloader().dataset[1]
    image = Image.open(root / "val" / "bee" / "000.png").resize((30, 20), Image.Resampling.BICUBIC)
    expected = np.asarray(image.crop((9, 4, 21, 16)), np.float32).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(sample["image"], expected, atol=1e-6)
    assert (sample["label"], sample["id"]) == (1, 1)


def test_wnid_folders_map_to_imagenet(make_tree):
    root = make_tree({"val": 1}, classes=("n01440764", "n02108422"))
    data = ImageData(str(root), num_workers=0)
    data.setup("validate")
    assert data.imagenet_indices == [0, 243]
    with pytest.raises(FileNotFoundError, match=r"has no train/ folder \(it has: val\)"):
        data.setup("fit")


def test_the_attack_set_is_test_or_else_val(make_tree):
    root = make_tree({"train": 1, "val": 2})
    data = ImageData(str(root), resize=24, crop=20, num_workers=0)
    data.setup("test")
    assert len(data.test_dataloader().dataset) == 6
    root = make_tree({"test": 1})
    data = ImageData(str(root), resize=24, crop=20, num_workers=0)
    data.setup("test")
    assert len(data.test_dataloader().dataset) == 3


def test_attack_images_are_a_seeded_draw_over_all_classes(make_tree):
    root = make_tree({"val": 10})

    def drawn(seed):
        data = ImageData(str(root), resize=24, crop=20, attack_images=9, num_workers=0, seed=seed)
        data.setup("test")
        return [(file.id, file.label) for file in data.test_dataloader().dataset.files]

    first = drawn(0)
    assert first == sorted(set(first))
    assert len(first) == 9
    assert {label for _, label in first} == {0, 1, 2}
    assert first == drawn(0) != drawn(1)


def test_embedded_views_are_seeded_and_differ_between_splits():
    files, indices = embedded_photographs()
    assert (len(files), len(indices)) == (20, 19), "two photographs share a class"
    assert indices[files[0].label] == 243

    def views(seed):
        data = ImageData(views=4, crop=16, resize=16, batch_size=8, num_workers=0, seed=seed)
        data.setup("fit")
        return [data.train_dataloader().dataset[5]["image"], data.val_dataloader().dataset[5]["image"]]

    state = torch.get_rng_state()
    first, again, other = views(0), views(0), views(1)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[1])


def test_corrupt_files_are_counted_and_reported(make_tree):
    root = make_tree({"train": 2, "val": 1})
    (root / "train" / "ant" / "000.png").write_bytes(b"broken")
    data = ImageData(str(root), resize=24, crop=20, batch_size=1, num_workers=0)
    with pytest.warns(UserWarning, match="train: skipped 1 of 6 unreadable images"):
        data.setup("fit")
    assert [item.path.name for item in data.corrupt["train"]] == ["000.png"]
    strict = ImageData(str(root), on_corrupt="error", num_workers=0)
    with pytest.raises(ValueError, match="1 of 6 images cannot be read"):
        strict.setup("fit")


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"batch_size": 0}, "data.batch_size is 0: it must be at least 1"), ({"resize": 100}, "data.resize is 100")],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(ValueError, match=message):
        ImageData(**setting)


def test_a_single_class_is_pointed_out(make_tree):
    data = ImageData(str(make_tree({"val": 1}, classes=("ant",))), num_workers=0)
    with pytest.warns(UserWarning, match="has a single class, 'ant'"):
        data.setup("validate")

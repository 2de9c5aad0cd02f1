import os

import pytest
import torch
from torch.utils.data import default_collate

from codes import CodeExtractor, load_backbone
from codes.store import differences
from datamodules import ImageData, PassData
from datamodules.pass_data import Batches
from tests.tiny import TAPS, make_data


@pytest.fixture
def root(make_tree):
    return make_tree({"train": 4, "val": 2})


def make_extractor(seed=0):
    return CodeExtractor(load_backbone("tests.tiny:Tiny", seed=seed), TAPS)


def recipe(tmp_path, data, extractor=None):
    return PassData(data, extractor or make_extractor(), tmp_path / "codes", "float32", "32-true").recipe


def test_a_batch_is_consecutive_samples(root):
    data = make_data(root)
    data.setup("predict")
    datasets = {split: loader.dataset for split, loader in data.predict_dataloader().items()}
    batches = Batches(datasets, [("train", 0, 5), ("train", 5, 12), ("val", 0, 6)])
    assert len(batches) == 3
    for number, (split, first, last) in enumerate(batches.batches):
        batch = batches[number]
        expected = default_collate([datasets[split][k] for k in range(first, last)])
        assert batch.pop("batch") == number
        assert batch.keys() == expected.keys()
        assert all(torch.equal(batch[name], values) for name, values in expected.items())


def test_the_images_are_identified_without_opening_one(tmp_path, root, monkeypatch):
    monkeypatch.setattr("PIL.Image.open", None)
    monkeypatch.setattr("datamodules.readable.why_unreadable", None)
    data = PassData(make_data(root), make_extractor(), tmp_path / "codes", "float32", "32-true")
    assert data.recipe["data"]["train"]["images"] == 12
    assert data.recipe["data"]["val"]["images"] == 6
    assert data.recipe["transform"].items() >= {"resize": 18, "crop": 16, "interpolation": "bicubic"}.items()
    assert data.store is None
    assert not (tmp_path / "codes").exists()


def test_what_changes_the_codes_changes_the_recipe(tmp_path, root):
    base = recipe(tmp_path, make_data(root))
    assert recipe(tmp_path, make_data(root)) == base
    assert recipe(tmp_path, make_data(root, batch_size=2, seed=5, num_workers=1, attack_images=1)) == base

    def changed(data=None, extractor=None):
        return [key for key, *_ in differences(base, recipe(tmp_path, data or make_data(root), extractor))]

    assert changed(make_data(root, crop=15)) == ["transform.crop"]
    assert changed(make_data(root, interpolation="bilinear")) == ["transform.interpolation"]
    assert changed(extractor=make_extractor(seed=1)) == ["weights"]

    path = root / "val" / "bee" / "001.png"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert changed() == ["data.val.listing"], "a file that was written again"
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert changed() == []
    path.rename(path.with_name("002.png"))
    assert changed() == ["data.val.listing"]
    path.with_name("002.png").unlink()
    assert changed() == ["data.val.images", "data.val.listing"]


def test_a_tree_that_was_moved_is_the_same(tmp_path, root):
    base = recipe(tmp_path, make_data(root))
    moved = root.rename(tmp_path / "elsewhere")
    assert recipe(tmp_path, make_data(moved)) == base


def test_a_dangling_link_is_part_of_the_listing(root):
    (root / "val" / "ant" / "009.png").symlink_to(root / "nowhere")
    assert make_data(root).describe()["val"]["images"] == 7


def test_views_of_the_photographs_depend_on_the_seed():
    base = ImageData(None, seed=1, views=8).describe()
    assert base["train"] == base["val"], "both are views of the same files"
    assert ImageData(None, seed=1, views=8).describe() == base
    assert ImageData(None, seed=2, views=8).describe() != base
    assert ImageData(None, seed=1, views=9).describe() != base

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from callbacks import RunWriter
from callbacks.image_list import merge_images
from datamodules import ImageData
from datamodules.samples import FilesBelow, Samples, pack_names
from tests.callbacks.conftest import make_data, make_module, make_trainer


@pytest.fixture
def root(make_tree):
    return make_tree({"train": 4, "val": 3})


def images(folder) -> pd.DataFrame:
    return pd.read_parquet(folder / "run" / "v" / "images.parquet")


def test_every_image_can_be_traced(tmp_path, root):
    (root / "val" / "bee" / "000.png").write_bytes(b"broken")
    data = make_data(root, attack_images=4, seed=3)
    module = make_module()
    trainer = make_trainer(tmp_path, RunWriter())
    with pytest.warns(UserWarning, match="skipped 1 of 9"):
        trainer.fit(module, datamodule=data)
    listed = images(tmp_path)
    assert listed["split"].tolist() == ["train"] * 12 + ["val"] * 8
    assert set(listed["view"].isna()) == {True}
    val = listed[listed["split"] == "val"]
    assert val["id"].tolist() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert val["path"].tolist()[2:4] == ["val/ant/002.png", "val/bee/001.png"]
    assert val["label"].tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert val["class"].tolist() == ["ant"] * 3 + ["bee"] * 2 + ["cat"] * 3

    with pytest.warns(UserWarning, match="skipped 1 of 9"):
        trainer.test(module, datamodule=data, verbose=False)
    trainer.validate(module, datamodule=data, verbose=False)
    again = images(tmp_path)
    pd.testing.assert_frame_equal(again[again["split"] != "test"].reset_index(drop=True), listed)
    attacked = again[again["split"] == "test"]
    assert len(attacked) == 4
    assert attacked["path"].tolist() == val.set_index("id")["path"][attacked["id"]].tolist(), "drawn from val/"


def test_views_of_photographs_can_be_traced(tmp_path):
    data = ImageData(None, batch_size=4, resize=24, crop=20, views=8, num_workers=0)
    trainer = make_trainer(tmp_path, RunWriter(), limit_train_batches=1, limit_val_batches=1)
    trainer.fit(make_module(), datamodule=data)
    listed = images(tmp_path)
    train = listed[listed["split"] == "train"]
    assert train["id"].tolist() == list(range(20 * 8))
    row = train.iloc[8 * 3 + 5]
    assert (row["view"], row["path"][:12]) == (5, "imagenet_03_")
    assert row["class"] == data.classes[row["label"]]
    assert len(listed) == 20 * (8 + 2)


def listing(root, *entries, **settings):
    """A dataset of (id, label, path below the root), and its data module."""
    ids, labels, paths = zip(*entries, strict=True)
    samples = Samples(np.array(ids), np.array(labels), pack_names(paths), FilesBelow(root))
    return SimpleNamespace(samples=samples, **settings), SimpleNamespace(classes=["ant", "bee"])


def test_a_split_replaces_its_own_rows_and_no_others(tmp_path):
    merge_images(tmp_path, "val", *listing(tmp_path, (4, 1, "val/bee/b.png"), (0, 0, "val/ant/a.png")))
    merge_images(tmp_path, "train", *listing(tmp_path, (0, 0, "train/ant/a.png")))
    merge_images(tmp_path, "val", *listing(tmp_path, (7, 1, "val/bee/c.png")))
    path = tmp_path / "images.parquet"
    table = pd.read_parquet(path)
    assert table[["split", "id", "label", "class", "path"]].to_numpy().tolist() == [
        ["train", 0, 0, "ant", "train/ant/a.png"],
        ["val", 7, 1, "bee", "val/bee/c.png"],
    ]
    assert {field.name: str(field.type) for field in pq.read_schema(path)} == {
        "split": "string",
        "id": "int64",
        "label": "int64",
        "class": "string",
        "path": "string",
        "view": "int32",
    }
    assert [each.name for each in tmp_path.iterdir()] == ["images.parquet"], "nothing half-written"


def test_rows_are_sorted_by_split_and_id(tmp_path):
    merge_images(tmp_path, "val", *listing(tmp_path, (4, 1, "b.png"), (0, 0, "a.png")))
    merge_images(tmp_path, "test", *listing(tmp_path, (2, 1, "b.png"), (1, 0, "a.png")))
    table = pd.read_parquet(tmp_path / "images.parquet")
    assert list(zip(table["split"], table["id"], strict=True)) == [("test", 1), ("test", 2), ("val", 0), ("val", 4)]


def test_views_are_numbered_photograph_by_photograph(tmp_path):
    dataset, data = listing(tmp_path / "inside", (5, 1, "b.png"), (3, 0, "a.png"), views=2)
    merge_images(tmp_path, "train", dataset, data)
    table = pd.read_parquet(tmp_path / "images.parquet")
    assert table["id"].tolist() == [0, 1, 2, 3]
    assert table["view"].tolist() == [0, 1, 0, 1]
    assert table["path"].tolist() == ["b.png", "b.png", "a.png", "a.png"]
    assert table["class"].tolist() == ["bee", "bee", "ant", "ant"]

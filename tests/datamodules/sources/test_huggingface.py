import sys

import numpy as np
import pytest
from PIL import Image

from datamodules.decoding import read_pixels
from datamodules.sources.huggingface import list_huggingface

datasets = pytest.importorskip("datasets")


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8)) for _ in range(5)]


def make(images, labels, names=("ant", "bee"), label="label"):
    features = datasets.Features({"image": datasets.Image(), label: datasets.ClassLabel(names=list(names))})
    return datasets.Dataset.from_dict({"image": images, label: labels}, features=features)


@pytest.mark.parametrize("form", ["save_to_disk", "parquet"])
def test_images_and_labels_are_those_of_the_table(tmp_path, table, form):
    rows = {"train": make(table, [0, 1, 1, 0, 1]), "validation": make(table[:2], [1, 0]), "other": make(table, [0] * 5)}
    if form == "save_to_disk":
        datasets.DatasetDict(rows).save_to_disk(tmp_path / "images")
    else:
        for split in ("train", "validation"):
            rows[split].to_parquet(tmp_path / "images" / f"{split}.parquet")
    source = list_huggingface(str(tmp_path / "images"), tmp_path / "cache", download=False)
    assert list(source.splits) == ["train", "val"]
    assert source.classes == ["ant", "bee"]
    train = source.splits["train"]
    assert train.labels.tolist() == [0, 1, 1, 0, 1]
    assert train.name(3) == "train/3"
    part = train.take(np.array([4, 2]))
    for position, number in enumerate((4, 2)):
        np.testing.assert_array_equal(read_pixels(part.encoded(position)).permute(1, 2, 0), np.asarray(table[number]))
    assert train.digest() != source.splits["val"].digest()


def test_a_single_table_is_the_training_split(tmp_path, table):
    make(table, [0, 1, 0, 1, 0], label="fine").save_to_disk(tmp_path / "images")
    source = list_huggingface(str(tmp_path / "images"), None, download=False)
    assert {split: len(samples) for split, samples in source.splits.items()} == {"train": 5}


def test_a_split_without_labels_is_left_out(tmp_path, table):
    rows = {"train": make(table, [0, 1, 0, 1, 0]), "test": make(table[:1], [-1])}
    datasets.DatasetDict(rows).save_to_disk(tmp_path / "images")
    assert list(list_huggingface(str(tmp_path / "images"), None, download=False).splits) == ["train"]


def test_what_cannot_be_used_is_named(tmp_path, table):
    with pytest.raises(
        FileNotFoundError, match=r"there is no folder 'me/mine', and the Hub is only asked where data.download"
    ):
        list_huggingface("me/mine", None, download=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match=r"cannot be loaded \(.*\): on a machine without a network, save_to_disk it"):
        list_huggingface(str(tmp_path / "empty"), None, download=False)
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "text")
    with pytest.raises(ValueError, match="has no column of type Image: text"):
        list_huggingface(str(tmp_path / "text"), None, download=False)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"needs the package datasets: pip install 'somscope\[huggingface\]'"):
        list_huggingface("me/mine", None, download=True)

import gzip
import tarfile

import numpy as np
import pytest
from PIL import Image

from datamodules.decoding import read_pixels
from datamodules.sources import shards
from datamodules.sources.shards import LISTING, list_shards
from tests.datamodules.sources.stand_ins import add, write_shards


def names(samples):
    return [samples.name(position) for position in range(len(samples))]


def test_ids_follow_the_shards(tmp_path):
    source = list_shards(write_shards(tmp_path, {"train": 12, "val": 4}))
    assert list(source.splits) == ["train", "val"]
    train = source.splits["train"]
    assert train.ids.tolist() == list(range(12))
    assert train.labels.tolist() == [k % 3 for k in range(12)]
    assert names(train)[5:7] == ["train-0001.tar/00005", "train-0001.tar/00006"]
    assert source.classes == ["0", "1", "2"]


def test_images_are_read_by_offset(tmp_path):
    source = list_shards(write_shards(tmp_path, {"train": 7, "val": 6}))
    for split, samples in source.splits.items():
        part = samples.take(np.array([6 if split == "train" else 5, 2]))
        for position in range(2):
            shard, key = part.name(position).split("/")
            with tarfile.open(tmp_path / shard) as tar:
                expected = np.asarray(Image.open(tar.extractfile(f"{key}.jpg")))
            np.testing.assert_array_equal(read_pixels(part.encoded(position)).permute(1, 2, 0), expected)


def test_the_listing_is_made_once(tmp_path, monkeypatch):
    root = write_shards(tmp_path, {"train": 7})
    first = list_shards(root)
    assert (root / LISTING).exists()
    made = []
    members = shards._members
    monkeypatch.setattr(shards, "_members", lambda *arguments: made.append(arguments[1]) or members(*arguments))
    again = list_shards(root)
    assert not made
    assert names(again.splits["train"]) == names(first.splits["train"])
    assert again.splits["train"].encoded(6) == first.splits["train"].encoded(6)
    write_shards(root, {"train": 11})
    assert len(list_shards(root).splits["train"]) == 11, "other shards are listed anew"
    assert len(made) == 3
    (root / LISTING).write_bytes(b"torn")
    assert len(list_shards(root).splits["train"]) == 11


def test_class_names_come_from_a_file(tmp_path):
    root = write_shards(tmp_path, {"train": 6})
    (root / "classes.txt").write_text("tench\ngoldfish\nshark\nhen\n")
    assert list_shards(root).classes == ["tench", "goldfish", "shark", "hen"]
    (root / "classes.txt").write_text("tench\ngoldfish\n")
    with pytest.raises(ValueError, match=r"classes\.txt' names 2 classes, but there is a label 2"):
        list_shards(root)


def write(path, **members):
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            add(tar, name.replace("_", "."), content)
    return path.parent


def test_members_belong_together_by_name_up_to_the_first_dot(tmp_path):
    """In any order; the image is the member whose whole ending is an image's."""
    root = write(
        tmp_path / "a.tar", a_seg_png=b"no", a_JPG=b"yes", a_cls=b" 1\n", b_cls=b"0", b_png=b"b", c_txt=b"", d_cls=b"0"
    )
    train = list_shards(root).splits["train"]
    assert names(train) == ["a.tar/a", "a.tar/b"]
    assert [train.encoded(k) for k in range(2)] == [b"yes", b"b"]
    assert train.labels.tolist() == [1, 0]


def test_samples_without_labels_are_one_class(tmp_path):
    source = list_shards(write(tmp_path / "a.tar", a_jpg=b"a", b_jpg=b"b"))
    assert source.classes == ["unlabelled"]
    assert source.splits["train"].labels.tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"1 of 2 samples have no label \(\.cls\): give all or none"):
        list_shards(write(tmp_path / "a.tar", a_jpg=b"a", a_cls=b"1", b_jpg=b"b"))


def test_folders_name_splits_too(tmp_path):
    (tmp_path / "validation").mkdir()
    (tmp_path / "x").mkdir()
    write(tmp_path / "validation" / "000.tar", a_jpg=b"a")
    write(tmp_path / "x" / "000.tar", a_jpg=b"b")
    splits = list_shards(tmp_path).splits
    assert names(splits["val"]) == ["validation/000.tar/a"]
    assert names(splits["train"]) == ["x/000.tar/a"]


def test_what_is_no_shard_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no \.tar shards"):
        list_shards(tmp_path)
    root = write_shards(tmp_path, {"train": 3})
    path = root / "train-0000.tar"
    whole = path.read_bytes()
    path.write_bytes(gzip.compress(whole))
    with pytest.raises(ValueError, match=r"train-0000\.tar' cannot be listed .*shards must be whole \.tar files"):
        list_shards(root)
    path.write_bytes(whole[:3000])
    with pytest.raises(ValueError, match="cannot be listed"):
        list_shards(root)
    write(path, a_jpg=b"a", a_cls=b"tench")
    with pytest.raises(ValueError, match=r"'a\.cls' of .* holds b'tench': a label must be the number of a class"):
        list_shards(root)


def test_a_shard_that_vanishes_is_an_oserror(tmp_path):
    samples = list_shards(write_shards(tmp_path, {"train": 3})).splits["train"]
    (tmp_path / "train-0000.tar").unlink()
    with pytest.raises(OSError, match=r"train-0000\.tar"):
        samples.encoded(0)

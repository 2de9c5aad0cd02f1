import numpy as np
import pytest
from PIL import Image

from datamodules.readable import Corrupt, ReadableImages
from datamodules.sources.folder import list_folder


@pytest.fixture
def source(make_tree):
    """6 images, whose numbers 1 and 4 cannot be read."""
    root = make_tree({"train": 2, "val": 1})
    whole = root / "train" / "ant" / "001.png"
    jpeg = whole.with_suffix(".jpg")
    Image.open(whole).resize((300, 200)).save(jpeg)
    jpeg.write_bytes(jpeg.read_bytes()[: jpeg.stat().st_size // 2])
    whole.unlink()
    (root / "train" / "cat" / "000.png").write_text("this is no image")
    return list_folder(root)


def take_all(usable):
    return {split: np.flatnonzero(mask) for split, mask in usable.items()}


def test_unreadable_images_are_left_out_with_name_and_reason(source):
    images = ReadableImages(source, "skip")
    assert images.choose(["train"], take_all)["train"].tolist() == [0, 2, 3, 5]
    first, second = images.corrupt("train")
    assert first.name == "train/ant/001.jpg"
    assert "truncated" in first.reason
    assert second == Corrupt("train/cat/000.png", "not an image file")
    assert images.corrupt("val") == []


def test_only_what_is_drawn_is_read_and_read_once(source):
    images = ReadableImages(source, "skip")
    opened = []
    samples = source.splits["train"]
    object.__setattr__(
        samples, "open", lambda number, name, open_=samples.open: opened.append(number) or open_(number, name)
    )

    def first_two(usable):
        return {"train": np.flatnonzero(usable["train"])[:2]}

    assert images.choose(["train"], first_two)["train"].tolist() == [0, 2], (
        "the next takes the place of what is unreadable"
    )
    assert sorted(opened) == [0, 1, 2]
    images.choose(["train"], first_two)
    assert len(opened) == 3


def test_unreadable_images_refuse_the_data_on_request(source):
    with pytest.raises(ValueError, match=r"2 of 6 images cannot be read, the first is 'train/ant/001\.jpg'"):
        ReadableImages(source, "error").choose(["train"], take_all)
    assert ReadableImages(source, "error").choose(["val"], take_all)["val"].tolist() == [0, 1, 2]


def test_nothing_readable_is_refused(source):
    for position in range(6):
        source.splits["train"].encoded(position).write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"none of the 6 files can be read as an image, e\.g\. 'train/ant/000\.png'"):
        ReadableImages(source, "skip").choose(["train"], take_all)

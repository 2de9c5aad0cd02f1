import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from datamodules.sources.folder import list_folder
from tests.conftest import write_tree


def names(samples):
    return [samples.name(position) for position in range(len(samples))]


def test_ids_are_positions_and_labels_follow_sorted_names(make_tree):
    root = make_tree({"train": 2, "val": 1})
    (root / "val" / "ant" / "000.png").unlink()  # a class that is absent from a split keeps its label
    source = list_folder(root)
    assert source.classes == ["ant", "bee", "cat"]
    assert source.splits["train"].ids.tolist() == list(range(6))
    assert source.splits["train"].labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert source.splits["val"].ids.tolist() == [0, 1]
    assert source.splits["val"].labels.tolist() == [1, 2]
    assert names(source.splits["val"]) == ["val/bee/000.png", "val/cat/000.png"]
    assert all(sample.dtype == np.int64 for sample in (source.splits["val"].ids, source.splits["val"].labels))


def test_the_order_is_that_of_torchvision(make_tree):
    root = make_tree({"train": 2}, classes=("Zebra", "a b", "ant", "ünïcode"))
    for place in ("ant/x", "ant/x/y", "ant/x-y"):  # "/" sorts behind "-"
        (root / "train" / place).mkdir()
        shutil.copy(root / "train" / "ant" / "000.png", root / "train" / place / "Å b.PNG")
    source = list_folder(root)
    reference = ImageFolder(root / "train")
    samples = source.splits["train"]
    assert [str(samples.encoded(position)) for position in range(len(samples))] == [
        path for path, _ in reference.samples
    ]
    assert samples.labels.tolist() == reference.targets
    assert source.classes == reference.classes
    assert len(samples) == 11


def test_class_folders_alone_are_one_split(make_tree):
    source = list_folder(make_tree({"train": 2}) / "train")
    assert list(source.splits) == ["train"]
    assert names(source.splits["train"])[1] == "ant/001.png"


def test_hidden_and_empty_folders_are_no_classes(make_tree):
    root = make_tree({"train": 1})
    for name in (".ipynb_checkpoints", "dog"):
        (root / "train" / name).mkdir()
    shutil.copy(root / "train" / "ant" / "000.png", root / "train" / ".ipynb_checkpoints" / "000.png")
    assert list_folder(root).classes == ["ant", "bee", "cat"]


def test_missing_and_empty_folders_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere' is not a folder"):
        list_folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no train/, val/ or test/ folder \(it holds: nothing\)"):
        list_folder(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match="holds no class folders"):
        list_folder(tmp_path)
    (tmp_path / "train" / "ant").mkdir()
    (tmp_path / "train" / "ant" / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"holds 1 class folders but no images: files must end in \.jpg"):
        list_folder(tmp_path)


def test_files_that_are_not_named_like_images_are_listed(make_tree):
    root = make_tree({"train": 1, "val": 1})
    for name in ("b.heic", "a.PNG", "a.txt", ".DS_Store"):
        (root / "train" / "bee" / name).write_bytes(b"")
    source = list_folder(root)
    assert source.left_out == {"train": ["train/bee/a.txt", "train/bee/b.heic"], "val": []}
    assert "train/bee/a.PNG" in names(source.splits["train"])


def test_links_are_followed_but_not_in_circles(make_tree):
    root = make_tree({"train": 1})
    ant = root / "train" / "ant"
    elsewhere = root.parent / "elsewhere"
    shutil.copytree(ant, elsewhere)
    (ant / "more").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root / "train")
    (ant / "self").symlink_to(ant)
    (ant / "itself.png").symlink_to(ant / "itself.png")
    (ant / "gone.png").symlink_to(root / "nowhere.png")
    found = [name for name in names(list_folder(root).splits["train"]) if name.startswith("train/ant/")]
    assert found[:4] == [f"train/ant/{name}" for name in ("000.png", "gone.png", "itself.png", "more/000.png")]
    assert found[4:] == [f"train/ant/more/back/{name}/000.png" for name in ("bee", "cat")], "not ant again, from within"


def test_a_pipe_is_left_out_and_not_waited_for(make_tree):
    root = make_tree({"train": 1})
    os.mkfifo(root / "train" / "ant" / "pipe.png")
    source = list_folder(root)
    assert source.left_out["train"] == ["train/ant/pipe.png"]
    assert len(source.splits["train"]) == 3


def test_names_that_are_no_unicode(make_tree):
    root = make_tree({"train": 1})
    odd = os.path.join(os.fsencode(root / "train" / "ant"), b"\xff.png")
    shutil.copy(root / "train" / "ant" / "000.png", odd)
    samples = list_folder(root).splits["train"]
    assert os.fsencode(samples.encoded(1)) == odd
    assert samples.printable_names()[1] == "train/ant/?.png"


@contextlib.contextmanager
def without_privileges():
    """Root may read everything: as nobody, for a while."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_tree():
    """A tree in a folder that everyone may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield write_tree(Path(folder) / "images", {"train": 2})


def test_a_folder_that_cannot_be_listed_is_named(open_tree):
    locked = open_tree / "train" / "bee"
    locked.chmod(0o000)
    try:
        with (
            without_privileges(),
            pytest.raises(PermissionError, match=r"train/bee' cannot be listed \(Permission den"),
        ):
            list_folder(open_tree)
    finally:
        locked.chmod(0o755)


def test_a_file_that_cannot_be_read_is_corrupt(open_tree):
    from datamodules.readable import ReadableImages

    (open_tree / "train" / "bee" / "001.png").chmod(0o000)
    images = ReadableImages(list_folder(open_tree), "skip")
    with without_privileges():
        images.choose(["train"], lambda usable: {"train": np.flatnonzero(usable["train"])})
    assert images.corrupt("train") == [("train/bee/001.png", "Permission denied")]


def test_an_image_is_a_file_below_the_root(make_tree):
    samples = list_folder(make_tree({"train": 1}, size=(40, 32))).splits["train"]
    with Image.open(samples.encoded(2)) as image:
        assert image.size == (40, 32)

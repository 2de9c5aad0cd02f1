import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.readable import Corrupt, ReadableImages
from datamodules.sources.folder import list_folder

ROOT = Path(__file__).parents[2]


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


TOGETHER = """
import json, multiprocessing, sys
from pathlib import Path
import numpy as np
from torch import distributed
from datamodules import decoding
from datamodules.readable import ReadableImages
from datamodules.sources.folder import list_folder

root, folder, world = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
opened, look = [], decoding._why_unreadable

def noted(samples, place):
    opened.append(place)
    return look(samples, place)

def first_four(usable):
    return {split: np.flatnonzero(mask)[:4] for split, mask in usable.items()}

def run(rank):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    images = ReadableImages(list_folder(root), "skip")
    chosen = {split: found.tolist() for split, found in images.choose(["train", "val"], first_four).items()}
    (folder / f"{rank}.json").write_text(json.dumps([chosen, images.corrupt("train"), opened]))
    distributed.destroy_process_group()

decoding._why_unreadable = noted
processes = [multiprocessing.get_context("fork").Process(target=run, args=(rank,)) for rank in range(world)]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(any(process.exitcode for process in processes))
"""


@pytest.mark.parametrize("world", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_look_at_each_image_once_and_agree(source, tmp_path, world):
    """4 + 3 images and the one more that the unreadable ones call for: no process looks at as many as the next."""
    root, folder = source.splits["train"].open.root, tmp_path / "found"
    folder.mkdir()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TOGETHER, str(root), str(folder), str(world)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    found = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world)]
    chosen, corrupt, _ = found[0]
    assert chosen == {"train": [0, 2, 3, 5], "val": [0, 1, 2]}
    assert [name for name, _ in corrupt] == ["train/ant/001.jpg", "train/cat/000.png"]
    assert all(each[:2] == found[0][:2] for each in found)
    looked = sorted(place for each in found for place in each[2])
    assert looked == [0, 0, 1, 1, 2, 2, 3, 4, 5], "positions of both splits, none twice"

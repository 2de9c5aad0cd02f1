import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from codes import store_writer
from codes.store import MANIFEST, CodeStore, find_store
from tests.codes.store_examples import CHANNELS, CLASSES, ROWS, WIDTHS, content, fill, make_recipe, make_writer, write


def files(folder):
    """Every file's bytes, but for the manifest's and those of an interrupted pass."""
    paths = (path for path in sorted(folder.rglob("*.npy")) if path.name != "done.npy")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def whole(tmp_path):
    return fill(tmp_path / "whole")


def test_a_store_holds_what_was_written(whole):
    assert sorted(path.name for path in whole.iterdir()) == [MANIFEST, "train", "val"]
    for split in ROWS:
        expected = {name: values.numpy() for name, values in content(split).items()}
        found = {path.stem: np.load(path) for path in (whole / split).iterdir()}
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert np.array_equal(found[name], values), name
        assert {name: str(values.dtype) for name, values in found.items()} == {
            **dict.fromkeys(WIDTHS, "float32"),
            "ids": "int64",
            "labels": "int64",
            "dead": "int32",
        }
    manifest = json.loads((whole / MANIFEST).read_text())
    assert manifest["recipe"] == make_recipe()
    assert (manifest["classes"], manifest["channels"], manifest["batch"]) == (CLASSES, CHANNELS, 4)
    assert manifest["made_with"] == {"torch": "1"}
    for split, count in ROWS.items():
        dead = dict(zip(WIDTHS, content(split)["dead"].sum(0).tolist(), strict=True))
        assert manifest["splits"][split].items() >= {"rows": count, "dead_channels": dead}.items()
    assert manifest["splits"]["val"]["skipped"] == [["val/ant/x.png", "not an image file"]]


def test_batches_cover_every_row_once(tmp_path):
    writer = make_writer(tmp_path)
    assert [tuple(batch) for batch in writer.batches] == [
        ("train", 0, 4),
        ("train", 4, 8),
        ("train", 8, 11),
        ("val", 0, 4),
    ]
    assert writer.bytes_needed == 15 * (4 * 25 + 8 + 8 + 2 * 4)


def test_a_store_that_is_being_filled_is_never_taken_for_a_whole_one(tmp_path):
    writer = make_writer(tmp_path)
    writer.create({})
    for number in writer.open():
        assert find_store(tmp_path, make_recipe()) is None
        with pytest.raises(FileNotFoundError, match="is no whole store"):
            CodeStore(writer.part)
        assert not writer.folder.exists()
        write(writer, number)
    writer.close()
    assert find_store(tmp_path, make_recipe()) is None, "not before its manifest is written"
    assert writer.finish(CLASSES, CHANNELS, {})
    assert find_store(tmp_path, make_recipe()).folder == writer.folder
    assert not writer.part.exists()


@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_an_interrupted_pass_goes_on_and_ends_bit_equal(tmp_path, whole, done):
    writer = make_writer(tmp_path)
    writer.create({"torch": "1"})
    for number in writer.open()[:done]:
        write(writer, number)
    writer.close()
    assert not writer.finish(CLASSES, CHANNELS, {}) or done == 4
    again = make_writer(tmp_path)
    again.create({"torch": "1"})
    missing = again.open()
    assert missing == list(range(done, 4)) if done < 4 else [0, 1, 2, 3]
    for number in missing:
        write(again, number)
    again.close()
    if done < 4:
        assert again.finish(CLASSES, CHANNELS, {})
        assert files(again.folder) == files(whole)


def test_rows_are_on_the_disk_before_the_record_says_so(tmp_path, monkeypatch):
    """What a kill at any moment leaves: a batch counts as done only behind the synchronisation of its rows."""
    monkeypatch.setattr(store_writer, "SYNC_SECONDS", 0)
    events = []
    sync, put = store_writer.ArrayFile.sync, store_writer.ArrayFile.put

    def name(file):
        return os.path.basename(os.readlink(f"/proc/self/fd/{file._file}"))

    monkeypatch.setattr(store_writer.ArrayFile, "sync", lambda self: events.append(("sync", name(self))) or sync(self))
    monkeypatch.setattr(
        store_writer.ArrayFile, "put", lambda self, *rows: events.append(("put", name(self))) or put(self, *rows)
    )
    writer = make_writer(tmp_path)
    writer.create({})
    writer.open()
    write(writer, 0)
    writer.close()
    record = events.index(("put", "done.npy"))
    names = {f"{part}.npy" for part in (*WIDTHS, "ids", "labels", "dead")}
    assert {each for kind, each in events[:record] if kind == "put"} == names
    assert {each for kind, each in events[:record] if kind == "sync"} == names
    last_put = max(place for place, event in enumerate(events[:record]) if event[0] == "put")
    first_sync = min(place for place, event in enumerate(events[:record]) if event[0] == "sync")
    assert last_put < first_sync
    assert events[record + 1] == ("sync", "done.npy")


def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(store_writer, "SYNC_SECONDS", 0)
    writer = make_writer(tmp_path)
    writer.create({"torch": "1"})
    writer.open()
    write(writer, 0)
    writer._thread.submit(int).result()  # all that was queued is written

    def full(file, data, place):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        write(writer, 1)
        with pytest.raises(OSError, match=r"No space left on device\): 1 of 4 batches are kept; make space and run"):
            writer.close()
    again = make_writer(tmp_path)
    again.create({"torch": "1"})
    assert again.open() == [1, 2, 3]
    for number in (1, 2, 3):
        write(again, number)
    again.close()
    assert again.finish(CLASSES, CHANNELS, {})
    assert files(again.folder) == files(whole)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True)
    if made.returncode:
        pytest.skip("only root may mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_fills_up_in_mid_run(small_disk):
    def wide():
        return store_writer.StoreWriter(small_disk / "store", make_recipe(), {"CL1": 1000}, {"train": 20}, 4)

    def fill(writer, numbers):
        for number in numbers:
            ids = torch.arange(number * 4, number * 4 + 4)
            writer.write(number, {"CL1": ids[:, None].repeat(1, 1000)}, {"CL1": ids}, ids, ids)

    writer = wide()
    writer.create({"torch": "1"})
    numbers = writer.open()
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(2**18))
    fill(writer, numbers)
    with pytest.raises(OSError, match=r"No space left on device\).* make space and run the same command again"):
        writer.close()
    ballast.unlink()
    again = wide()
    again.create({"torch": "1"})
    missing = again.open()
    assert missing
    fill(again, missing)
    again.close()
    assert again.finish(CLASSES, {"CL1": 200}, {})
    assert np.array_equal(np.load(again.folder / "train" / "CL1.npy"), np.arange(20)[:, None].repeat(1000, 1))


def test_too_little_space_is_told_before_the_pass(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OSError, match=r"need 1\.86 kB more and the disk of .* has 1 kB free"):
        make_writer(tmp_path).create({})


def test_what_is_done_needs_no_space(tmp_path, monkeypatch):
    writer = make_writer(tmp_path)
    writer.create({})
    for number in writer.open()[:3]:
        write(writer, number)
    writer.close()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    again = make_writer(tmp_path)
    again.create({})
    assert len(again.open()) == 1, "one batch is left to write"


def test_two_commands_do_not_fill_one_store(tmp_path):
    writer = make_writer(tmp_path)
    writer.part.mkdir()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, 2); print('held', flush=True); input()"
    command = [sys.executable, "-c", hold, str(writer.part / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OSError, match=r"another process is filling '.*part': wait until it is done"):
            writer.create({})
        writer.close()
        other.stdin.close()
    make_writer(tmp_path).create({})


def test_an_interrupted_pass_refuses_other_rows_and_batches(tmp_path):
    writer = make_writer(tmp_path)
    writer.create({"torch": "1"})
    writer.close()
    with pytest.raises(ValueError, match=r"was begun with 4 rows a batch, and here it is 5: go on with the same"):
        make_writer(tmp_path, batch=5).create({"torch": "1"})
    other = make_writer(tmp_path)
    other._rows = other._rows | {"val": 3}
    with pytest.raises(ValueError, match=r"was begun with .*'val': 4.* images, and here it is .*'val': 3"):
        other.create({"torch": "1"})
    assert make_writer(tmp_path).create({"torch": "1"}) is None
    assert "may differ from an uninterrupted pass in their last digits" in make_writer(tmp_path).create({"torch": "2"})


def test_half_precision_rounds_to_nearest_and_refuses_what_it_cannot_hold(tmp_path):
    folder = fill(tmp_path / "half", dtype="float16")
    found = np.load(folder / "train" / "CL2.npy")
    assert found.dtype == np.float16
    assert np.array_equal(found, content("train")["CL2"].numpy().astype(np.float16))
    writer = make_writer(tmp_path / "large", dtype="float16")
    writer.create({})
    writer.open()
    codes = {depth: torch.zeros(4, width) for depth, width in WIDTHS.items()}
    codes["CL2"][2, 3] = -7e4
    codes["CL1"][0, 0] = torch.inf
    dead, numbers = {depth: torch.zeros(4, dtype=torch.int64) for depth in WIDTHS}, torch.arange(4)
    writer.write(0, codes, dead, numbers, numbers)
    with pytest.raises(ValueError, match=r"a code of CL2 is 7e\+04, beyond float16's 65504: keep float32"):
        writer.close()


@pytest.mark.parametrize("depth", ["ids", "dead", "a/b", ".hidden"])
def test_a_depth_that_is_no_file_name_is_refused(tmp_path, depth):
    with pytest.raises(ValueError, match=f"depth '{depth}' can be no file's name: give it another in model.taps"):
        store_writer.StoreWriter(tmp_path / "s", make_recipe(), {depth: 10}, ROWS, 4)

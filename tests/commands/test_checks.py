"""What `--plan` checks: each check fails where the run would."""

import shutil
from collections import namedtuple

import pytest

import train
from commands import checks
from commands.checks import check_disk, check_images, check_memory
from tests.conftest import write_tree
from tests.tiny import make_data, make_model
from tests.whole_runs import options, own_argv, tree  # noqa: F401 (fixtures)

IMAGES = {"train": 1000, "val": 500, "attack": 10}


def test_a_sample_of_the_images_is_decoded(tmp_path):
    root = write_tree(tmp_path / "images", {"train": 4, "val": 2})
    assert check_images(make_data(root), "train") == ("data", True, "12 of 12 train images that were tried can be read")
    broken = root / "train" / "bee" / "001.png"
    broken.write_bytes(b"broken")
    check = check_images(make_data(root), "train")
    assert check.passes, "it would be left out"
    assert check.text.startswith(
        "11 of 12 train images that were tried can be read; 'train/bee/001.png' cannot: not an"
    )
    assert not check_images(make_data(root, on_corrupt="error"), "train").passes
    assert check_images(make_data(root, on_corrupt="error"), "val").passes


def test_the_store_must_fit_on_its_disk(tmp_path, monkeypatch):
    model, needed = make_model(), 1500 * 25 * 4  # codes of 10 and 15 dimensions
    usage = namedtuple("usage", "free")
    for free, dtype, passes in ((needed + 1, "float32", True), (needed, "float32", False), (needed, "float16", True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: usage(free))
        (check,) = check_disk({"store": tmp_path / "not" / "there"}, model, IMAGES, dtype)
        assert check.passes == passes
    assert "75 kB of store at" in check.text
    (check,) = check_disk({"runs": tmp_path}, model, IMAGES | {"val": 10**9})
    assert not check.passes, "300 GB of BMUs"


def test_what_a_step_takes_must_fit_into_memory(tmp_path, monkeypatch):
    data, model = make_data(write_tree(tmp_path / "images", {"train": 4, "val": 2})), make_model()
    assert check_memory(model, data).passes
    monkeypatch.setattr(checks.os, "sysconf", lambda name: 2**14)  # 2**28 bytes, less than torch alone takes
    assert not check_memory(model, data).passes


def test_a_plan_checks_and_runs_nothing(tree, tmp_path, capsys):  # noqa: F811
    words = [*options(tree, tmp_path / "runs", **{"model.weights": "none"}), f"--store={tmp_path / 'store'}", "--plan"]
    with pytest.raises(SystemExit) as end:
        train.main(words)
    assert end.value.code == 0
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ok ")]
    assert [line.split()[1] for line in found] == ["data", "data", "data", "weights", "disk", "disk", "memory"]
    assert "random, a control" in found[3]
    assert not list(tmp_path.iterdir())


def test_a_plan_that_cannot_be_run_ends_with_code_1(tree, tmp_path, capsys, monkeypatch):  # noqa: F811
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0))
    with pytest.raises(SystemExit) as end:
        train.main([*options(tree, tmp_path / "runs"), "--plan"])
    assert end.value.code == 1
    assert "\nNOT  disk " in capsys.readouterr().out

"""A run that is killed at any moment, and resumed, ends bit-equal."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from tests.resumed import LEFT, curves, left, the_folder, words
from tests.two_processes import kill, run_on, start_on
from tests.whole_runs import ROOT, own_argv, tree  # noqa: F401 (fixtures)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_processes_that_are_killed_go_on_together(tree, tmp_path, count):
    ddp = {"trainer.devices": count, "trainer.strategy": "ddp", "data.batch_size": 6}
    run_on(count, words(tree, tmp_path / "whole", **ddp))
    process = start_on(count, words(tree, tmp_path / "dead", **ddp))
    while not list((tmp_path / "dead").rglob("last.ckpt")):
        assert process.poll() is None
        time.sleep(0.01)
    kill(process)
    assert "analyse" not in json.loads((the_folder(tmp_path / "dead") / "stages.json").read_text())["whole"]
    run_on(count, [*words(tree, tmp_path / "dead", **ddp), "--resume"])
    assert left(the_folder(tmp_path / "dead")) == left(the_folder(tmp_path / "whole"))


def killed(tree, base, kills, **changes):
    """Kill runs and resume them; every one ends as the first, which was left alone. Says how many kills hit."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "tests.killed_runs",
        str(base),
        str(kills),
        *words(tree, base / "{run}", **changes),
    ]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout + result.stderr
    expected = left(the_folder(base / "0"))
    assert expected.keys() >= set(LEFT)
    assert any(name.startswith("figures/") for name in expected) == ("pictures" in changes)
    for number in range(1, kills + 1):
        folder = the_folder(base / str(number))
        assert left(folder) == expected, number
        found, kept = curves(folder), curves(the_folder(base / "0"))
        assert found.keys() == kept.keys()
        for (
            tag,
            points,
        ) in found.items():  # the row of a step is written after its checkpoint, and a kill may come before
            assert points.items() <= kept[tag].items(), (number, tag)
            assert len(points) >= len(kept[tag]) - (2 if tag.startswith("fit/") else 0), (number, tag)
        assert not list(folder.rglob("*.part"))
    return int(re.search(r"^killed (\d+)$", result.stdout, re.MULTILINE).group(1))


def test_two_kills(tree, tmp_path):
    """The kill at a touch of a file always hits; the one in time is too late where other work ends meanwhile."""
    assert killed(tree, tmp_path, 2, **{"attack.attacks": "[fgsm]"}) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("store", [False, True])
def test_ten_runs_killed_at_any_moment_end_bit_equal(tree, tmp_path, store):
    """13 kills of 10 runs from images that draw pictures, and as many of 10 from a store that each of them fills."""
    changes = {"store": tmp_path / "codes{run}"} if store else {"pictures": "true"}
    assert killed(tree, tmp_path, 10, **changes) >= 9

"""What commands print in a shell of their own: no warning, hint or advertisement of ours or of a dependency."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import write_tree
from tests.whole_runs import ROOT, options

SAID = re.compile(r"warn|deprecat|\bhint|\btip\b|consider |you should|you can (set|ignore)", re.I)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("data") / "images", {"train": 4, "val": 2, "test": 1})


@pytest.fixture(scope="module")
def run(tree, tmp_path_factory):
    """A whole run; where it lies, and all that it printed."""
    runs = tmp_path_factory.mktemp("runs")
    return runs, shell(options(tree, runs, **{"trainer.log_every_n_steps": None}))


def shell(words, start="import train", **environment):
    """What `python train.py WORDS` prints, both streams together."""
    code = f"import sys; sys.argv = ['train.py', *sys.argv[1:]]; {start}; sys.exit(train.run())"
    plain = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTHONWARNINGS")}
    call = [sys.executable, "-c", code, *map(str, words)]
    environment = plain | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(call, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def said(text):
    return [line for line in text.splitlines() if SAID.search(line)]


def test_what_is_looked_for_is_found():
    assert said("UserWarning: x\nTip: y\nHINT: z\nmultiple scripts, no hindrance\n") == [
        "UserWarning: x",
        "Tip: y",
        "HINT: z",
    ]


@pytest.mark.slow
def test_a_run_says_nothing_that_one_cannot_use(run):
    _, text = run
    assert "Maps, on the validation images" in text
    assert said(text) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "changes"),
    [
        ("validate", {}),
        ("test", {}),
        ("predict", {"data.num_workers": 1}),
        ("fit", {"store": "codes", "model.rule": "batch"}),
        ("--plan", {}),
    ],
)
def test_nor_does_a_stage_alone(run, tree, tmp_path, command, changes):
    """Worker processes are spawned, as where they cannot be forked, on a machine that has many cores."""
    runs, _ = run
    many = "import train, multiprocessing, lightning_fabric.utilities.data as data"
    many += "; multiprocessing.set_start_method('spawn'); data._num_cpus_available = lambda: 64"
    checkpoint = runs / "somscope" / "version_0" / "checkpoints" / "last.ckpt"
    given = {"ckpt_path": checkpoint} if command in ("validate", "test") else {}
    store = {"store": tmp_path / changes["store"]} if "store" in changes else {}
    assert said(shell([command, *options(tree, tmp_path, **(given | changes | store))], many)) == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [["backbones", "--search", "vit_tiny"], ["layers", "--backbone", "tests.tiny:Tiny"]])
def test_nor_do_lists(words):
    assert said(shell(words)) == []


@pytest.mark.slow
def test_two_processes_say_no_more(tree, tmp_path):
    both = {"trainer.devices": 2, "trainer.strategy": "ddp"}
    words = options(tree, tmp_path, **both)
    code = [sys.executable, str(ROOT / "train.py"), *words]  # whose children run it again
    plain = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTHONWARNINGS")}
    path = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(code, env=plain | path, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert said(done.stdout + done.stderr) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["option", "yaml"])
def test_quiet_prints_results_alone(tree, tmp_path, how):
    (tmp_path / "quiet.yaml").write_text("quiet: true\n")
    words = ["--quiet"] if how == "option" else [f"--config={tmp_path / 'quiet.yaml'}"]
    text = shell([*options(tree, tmp_path, **{"trainer.enable_progress_bar": None}), *words])
    first, *_, last = text.strip().splitlines()
    assert first == "Maps, on the validation images"
    assert last == f"the run's folder: {tmp_path / 'somscope' / 'version_0'}"
    assert "Seed set" not in text
    assert "it/s" not in text


@pytest.mark.slow
def test_ci_has_no_progress_bars(tree, tmp_path):
    text = shell(options(tree, tmp_path, **{"trainer.enable_progress_bar": None}), CI="1")
    assert "Seed set to 0" in text
    assert "it/s" not in text
    assert "img/s" not in text
    assert "\r" not in text

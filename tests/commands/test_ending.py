"""How a command ends: exit codes, and the one line that says what to do, also for a Ctrl-C in a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentError
from contextlib import contextmanager

import pytest
import torch

from commands.ending import FAILED, INTERRUPTED, MISUSED, UNREAD, end
from tests.conftest import write_tree
from tests.whole_runs import ROOT, options


@pytest.fixture(autouse=True)
def called_as(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--data.root", "my images"])


@contextmanager
def on_ctrl_c(handler):
    """As a terminal leaves it, or as a shell does to its jobs in the background, these tests among them."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def raises(error):
    def command():
        raise error

    return command


def interrupted_as_lightning_does():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("rows is 0"), FAILED),
        (OSError("no such file"), FAILED),
        (torch.OutOfMemoryError("CUDA out of memory"), FAILED),
        (ArgumentError(None, "no such option"), MISUSED),
    ],
)
def test_a_mistake_is_one_line(capsys, error, code):
    assert end(raises(error), resumable=True, debug=False) == code
    assert capsys.readouterr().err == f"train.py: error: {error}\n"
    with pytest.raises(type(error)):
        end(raises(error), resumable=True, debug=True)


def test_what_is_whole_keeps_its_code_and_a_bug_its_traceback():
    assert end(lambda: 0, resumable=True, debug=False) == 0
    with pytest.raises(KeyError):
        end(raises(KeyError("a bug")), resumable=True, debug=False)
    with pytest.raises(SystemExit, match="0"):
        end(raises(SystemExit(0)), resumable=True, debug=False)  # --help


@pytest.mark.parametrize("command", [raises(KeyboardInterrupt()), interrupted_as_lightning_does])
def test_an_interrupt_says_how_to_go_on(capsys, monkeypatch, command):
    assert end(command, resumable=True, debug=False) == INTERRUPTED
    line = "train.py: stopped. To go on from the last checkpoint: python train.py --data.root 'my images' --resume\n"
    assert capsys.readouterr().err.endswith(line)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/somscope", "--resume"])
    assert end(command, resumable=True, debug=False) == INTERRUPTED
    assert capsys.readouterr().err.endswith("checkpoint: somscope --resume\n")
    assert end(command, resumable=False, debug=False) == INTERRUPTED
    assert capsys.readouterr().err == "\nsomscope: stopped\n"


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_the_printed_command_finishes(tmp_path):
    tree = write_tree(tmp_path / "images", {"train": 4, "val": 2, "test": 1})
    words = options(tree, tmp_path / "runs", stages="[]", **{"trainer.max_epochs": 40, "data.num_workers": 1})
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    call = [sys.executable, str(ROOT / "train.py"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with on_ctrl_c(signal.default_int_handler):
        process = subprocess.Popen(call, env=environment, text=True, start_new_session=True, **pipes)
    folder = tmp_path / "runs" / "somscope" / "version_0"
    deadline = time.monotonic() + 300
    while not (folder / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, errors = process.communicate(timeout=300)
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in errors
    *_, line = errors.splitlines()
    assert line.startswith("train.py: stopped. To go on from the last checkpoint: python ")
    assert line.endswith("--resume")
    assert json.loads((folder / "stages.json").read_text())["whole"] == []
    again = subprocess.run([*call, "--resume"], env=environment, text=True, capture_output=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert [path.name for path in folder.parent.iterdir()] == ["version_0"]
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 39


PRESSED = """
import os, signal, sys, time, types
from commands.ending import end

sys.argv = ["train.py"]

def press():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(20):
        time.sleep(0.01)
        print("waited", flush=True)

# As a function of that library: the handler knows it by the module's name.
library = types.ModuleType("NAME")
exec("def call(what):\\n    what()\\n    print('left whole', flush=True)", library.__dict__)

def command():
    BODY
    for _ in range(1000):
        time.sleep(0.01)
    print("ran on")
    return 0

sys.exit(end(command, resumable=True, debug=False))
"""


@pytest.mark.parametrize(
    ("name", "body", "printed"),
    [
        ("our.module", "library.call(press)", ""),
        ("tensorboard.summary.writer", "library.call(press)", "waited\n" * 20 + "left whole\n"),
        ("torch.utils.data.dataloader", "library.call(press)", "waited\n" * 20 + "left whole\n"),
        ("torch.utils.data.dataloader", "library.call(lambda: (os.kill(os.getpid(), signal.SIGINT), press()))", ""),
    ],
)
def test_an_interrupt_waits_for_a_queue_to_be_left_whole_but_not_twice(name, body, printed):
    code = PRESSED.replace("NAME", name).replace("BODY", body)
    with on_ctrl_c(signal.default_int_handler):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout) == (INTERRUPTED, printed)
    assert done.stderr == "\ntrain.py: stopped. To go on from the last checkpoint: python train.py --resume\n"


def test_a_job_in_the_background_that_ignores_ctrl_c_goes_on_ignoring_it():
    code = PRESSED.replace("NAME", "our.module").replace("BODY", "press(); return 0")
    with on_ctrl_c(signal.SIG_IGN):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout) == (0, "waited\n" * 20)


def test_afterwards_ctrl_c_is_what_it_was():
    with on_ctrl_c(signal.default_int_handler):
        assert end(raises(KeyboardInterrupt()), resumable=False, debug=False) == INTERRUPTED
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


@pytest.mark.parametrize(
    "call", ["runpy.run_path('train.py', run_name='__main__')", "__import__('somscope.command').command.main()"]
)
def test_a_ctrl_c_while_modules_are_imported_ends_in_silence(call):
    code = f"""
import os, runpy, signal, sys
sys.argv = ["train.py", "backbones"]
sys.addaudithook(lambda event, given: event == "import" and given[0] == "torch" and os.kill(os.getpid(), signal.SIGINT))
{call}
"""
    with on_ctrl_c(signal.default_int_handler):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_who_reads_no_further_ends_it_in_silence():
    """Printed at once, and at the exit."""
    for flush in (True, False):
        code = f"""
import sys
from commands.ending import end
def command():
    for _ in range(100_000):
        print("a line", flush={flush})
    return 0
sys.exit(end(command, resumable=False, debug=False))
"""
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
        )
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() == UNREAD


def test_a_warning_is_one_line():
    code = (
        "import warnings; from commands.ending import one_line; warnings.formatwarning = one_line; warnings.warn('so')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr == "-c: warning: so\n"

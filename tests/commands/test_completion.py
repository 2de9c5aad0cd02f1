"""The completion script is one that the shell takes, and knows the commands and options."""

import shutil
import subprocess
import sys

import pytest

import train


@pytest.fixture(scope="module", params=["bash", "zsh"])
def shell(request, tmp_path_factory):
    """A shell and its script."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    script = tmp_path_factory.mktemp("completion") / "somscope"
    with pytest.MonkeyPatch.context() as patch, script.open("w") as file:
        patch.setattr(sys, "argv", ["somscope"])
        patch.setattr(sys, "stdout", file)
        assert train.COMMANDS["completion"]([request.param]) == 0
    return request.param, script


def completed(shell, line):
    """What a tab at the end of a line offers."""
    name, script = shell
    words = line.split(" ")
    mode = "emulate sh; setopt nounset;" if name == "zsh" else ""  # as its bashcompinit calls functions
    set_up = f"source {script}; {mode} COMP_CWORD={len(words) - 1}"
    ask = f"""{set_up}; COMP_WORDS=({" ".join(word or "''" for word in words)})
    _somscope; printf '%s\\n' "${{COMPREPLY[@]}}" """
    result = subprocess.run([name, "-c", ask], capture_output=True, text=True, check=True)
    assert not result.stderr
    offered = result.stdout.split()
    return [word for word in offered if word.startswith(words[-1])] if name == "zsh" else offered  # zsh does so itself


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("somscope val", ["validate"]),
        ("somscope c", ["compare", "completion"]),
        ("somscope fit --model.ro", ["--model.rows"]),
        ("somscope --config X --model.co", ["--model.cols"]),
        ("somscope layers --b", ["--backbone"]),
        ("somscope compare --na", ["--names"]),
        ("somscope --model.topology ", ["torus", "plane"]),
        ("somscope --fit_split ", ["train", "val"]),
        ("somscope --config ", []),  # files
        ("somscope test --data.ro", ["--data.root"]),
    ],
)
def test_it_completes(shell, line, offered):
    assert completed(shell, line) == offered


def test_it_is_small_and_offers_no_key_of_classes_within_classes(shell):
    text = shell[1].read_text()
    assert len(text) < 50_000
    assert "--trainer.strategy" in text
    assert "--trainer.strategy.device_mesh" not in text


def test_a_shell_of_another_kind_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        train.COMMANDS["completion"](["fish"])
    assert "choose from" in capsys.readouterr().err

"""The installed command: train.py from any folder, with the rooms of common names in its own process alone."""

import subprocess
import sys

import pytest

import somscope
from somscope import command
from tests.whole_runs import ROOT


def test_in_a_checkout_the_rooms_are_beside_the_package():
    assert somscope.open_rooms() == ROOT
    assert {*somscope.ROOMS} < {path.stem for path in ROOT.iterdir()}


def test_a_room_that_is_something_else_is_refused(monkeypatch, tmp_path):
    other = type(sys)("callbacks")
    other.__file__ = str(tmp_path / "callbacks" / "__init__.py")
    monkeypatch.setitem(sys.modules, "callbacks", other)
    with pytest.raises(ImportError, match=r"'callbacks' is imported from .* in a process of its own, or before"):
        somscope.open_rooms()


def test_the_command_is_train(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["somscope", "--version"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert command.main() == 0
    assert capsys.readouterr().out == f"somscope {somscope.__version__}\n"


def test_importing_the_package_opens_nothing(tmp_path):
    (tmp_path / "somscope").symlink_to(ROOT / "somscope")
    code = "import somscope, importlib.util as u; print(u.find_spec('callbacks'), u.find_spec('train'))"
    result = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["None", "None"]

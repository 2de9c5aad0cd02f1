"""A run that is killed and resumed leaves, bit for bit, what an uninterrupted one leaves."""

import json
import os
import sys

import pytest
import torch
from pytorch_lightning import Trainer

import train
from callbacks import FoolboxEvaluation, RunWriter
from callbacks.last_checkpoint import LAST
from callbacks.resume import ConfigWriter
from lightning_modules import CodeSOM
from tests.resumed import curves, left, the_folder, words
from tests.whole_runs import own_argv, run_folder, tree  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def whole(own_argv, tree, tmp_path_factory):
    """The folder of an uninterrupted run."""
    return run_folder(train.main(words(tree, tmp_path_factory.mktemp("whole"))))


def dies(patch, owner, name, times=1):
    """Let a method die at its `times`-th call."""
    real, calls = getattr(owner, name), iter(range(1, 1000))

    def method(self, *args, **more):
        if next(calls) == times:
            raise KeyboardInterrupt if owner is Trainer else RuntimeError("a power cut")
        return real(self, *args, **more)

    patch.setattr(owner, name, method)


MOMENTS = {
    "before its first record": (ConfigWriter, "setup", 1),
    "mid-epoch": (CodeSOM, "training_step", 2),
    "second epoch": (CodeSOM, "training_step", 5),
    "validation": (CodeSOM, "validation_step", 7),
    "maps": (RunWriter, "on_fit_end", 1),
    "analysis": (RunWriter, "on_validation_end", 3),
    "attack": (FoolboxEvaluation, "on_test_batch_end", 1),
    "last file": (RunWriter, "on_test_end", 1),
}


SOON = ("before its first record", "mid-epoch", "maps", "analysis")


@pytest.mark.parametrize("moment", [m if m in SOON else pytest.param(m, marks=pytest.mark.slow) for m in MOMENTS])
def test_a_run_that_dies_anywhere_ends_bit_equal(tree, whole, tmp_path, monkeypatch, moment):
    with monkeypatch.context() as patch:
        dies(patch, *MOMENTS[moment])
        with pytest.raises(RuntimeError, match="a power cut"):
            train.main(words(tree, tmp_path))
    train.main([*words(tree, tmp_path), "--resume"])
    assert left(the_folder(tmp_path)) == left(whole)
    assert curves(the_folder(tmp_path)) == curves(whole)
    ends = [torch.load(folder / LAST, weights_only=True)["state_dict"] for folder in (the_folder(tmp_path), whole)]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


@pytest.mark.parametrize("rule", ["batch", "ema"])
def test_other_rules_too(tree, tmp_path, monkeypatch, rule):
    changes = {"model.rule": rule, "model.alpha": "[0.9, 0.5]", "stages": "[]", "model.standardise": "false"}
    expected = left(run_folder(train.main(words(tree, tmp_path / "whole", **changes))))
    with monkeypatch.context() as patch:
        dies(patch, CodeSOM, "training_step", 5)
        with pytest.raises(RuntimeError, match="a power cut"):
            train.main(words(tree, tmp_path / "dead", **changes))
    train.main([*words(tree, tmp_path / "dead", **changes), "--resume"])
    assert left(the_folder(tmp_path / "dead")) == expected


@pytest.mark.parametrize("steps", [4, 6])
def test_max_steps_too(tree, tmp_path, monkeypatch, steps):
    changes = {"trainer.max_epochs": 3, "trainer.max_steps": steps, "stages": "[]"}
    expected = left(run_folder(train.main(words(tree, tmp_path / "whole", **changes))))
    for number, (owner, name, times) in enumerate(((CodeSOM, "training_step", 3), (RunWriter, "on_fit_end", 1))):
        with monkeypatch.context() as patch:
            dies(patch, owner, name, times)
            with pytest.raises(RuntimeError, match="a power cut"):
                train.main(words(tree, tmp_path / str(number), **changes))
        train.main([*words(tree, tmp_path / str(number), **changes), "--resume"])
        assert left(the_folder(tmp_path / str(number))) == expected


def test_stages_that_are_whole_are_not_repeated(tree, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        dies(patch, FoolboxEvaluation, "on_test_epoch_end")
        with pytest.raises(RuntimeError, match="a power cut"):
            train.main(words(tree, tmp_path))
    folder = the_folder(tmp_path)
    assert json.loads((folder / "stages.json").read_text()) == {"command": "fit", "whole": ["analyse", "fit"]}
    before = (folder / "bmus.parquet").stat().st_mtime_ns
    dies(monkeypatch, CodeSOM, "training_step")
    train.main([*words(tree, tmp_path), "--resume"])
    assert left(folder) == left(whole)
    assert (folder / "bmus.parquet").stat().st_mtime_ns == before


def test_a_stage_whose_file_is_gone_is_repeated(tree, whole, tmp_path):
    folder = run_folder(train.main(words(tree, tmp_path)))
    (folder / "bmus.parquet").unlink()
    train.main([*words(tree, tmp_path), "--resume"])
    assert left(folder) == left(whole)


def test_a_whole_run_has_nothing_to_resume(tree, tmp_path, caplog):
    folder = run_folder(train.main(words(tree, tmp_path, stages="[]")))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(SystemExit) as end, caplog.at_level("INFO"):
        train.main([*words(tree, tmp_path, stages="[]"), "--resume"])
    assert end.value.code == 0
    assert f"nothing to resume: the run in '{folder}' is whole" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert "resume" not in (folder / "config.yaml").read_text(), "config.yaml runs again as a run of its own"


def test_without_a_run_a_new_one_starts(tree, tmp_path, caplog):
    train.main(["predict", *words(tree, tmp_path)])  # another command, in version_0
    with caplog.at_level("INFO"):
        folder = run_folder(train.main([*words(tree, tmp_path, stages="[]"), "--resume"]))
    assert "no run to resume: a new one starts" in caplog.text
    assert folder.name == "version_1"


def test_the_latest_run_is_the_one_that_goes_on(tree, tmp_path, monkeypatch):
    train.main(words(tree, tmp_path, stages="[]"))
    with monkeypatch.context() as patch:
        dies(patch, CodeSOM, "on_fit_start")  # before the first checkpoint
        with pytest.raises(RuntimeError, match="a power cut"):
            train.main(words(tree, tmp_path, stages="[]"))
    assert run_folder(train.main([*words(tree, tmp_path, stages="[]"), "--resume"])).name == "version_1"


def test_other_settings_are_refused_naming_every_key(tree, whole, tmp_path):
    base = whole.parent.parent
    with pytest.raises(ValueError, match="the settings differ from those of the latest run") as error:
        train.main([*words(tree, base), "--resume", "--model.rows=4", "--trainer.max_epochs=3"])
    message = str(error.value)
    assert "model.rows is 4 here, 3 there; trainer.max_epochs is 3 here, 2 there" in message
    assert message.count(" there") == 2
    with pytest.raises(ValueError, match=r"folders of one TensorBoardLogger: give it as trainer\.logger"):
        train.main(
            [*words(tree, base, **{"trainer.logger.init_args.save_dir": None}), "--resume", "--trainer.logger=true"]
        )


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_a_stage_alone_goes_on_in_its_folder(tree, whole, tmp_path, monkeypatch, stage):
    command = [stage, *words(tree, tmp_path, ckpt_path=whole / LAST)]
    with monkeypatch.context() as patch:
        dies(patch, RunWriter, "on_validation_end" if stage == "validate" else "on_test_end")
        with pytest.raises(RuntimeError, match="a power cut"):
            train.main(command)
    train.main([*command, "--resume"])
    found = left(the_folder(tmp_path))
    for name in ("bmus.parquet",) if stage == "validate" else ("adversarial.parquet",):
        assert found[name] == left(whole)[name]
    with pytest.raises(SystemExit):
        train.main([*command, "--resume"])


def test_a_plan_runs_nothing(tree, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        train.main([*words(tree, tmp_path / "runs"), "--plan"])
    assert end.value.code == 0
    assert "12 to fit, 6 to validate, 3 to attack" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_a_run_that_kept_nothing_stands_in_nobodys_way(tree, tmp_path, monkeypatch):
    """Refused after its folder was made, or killed before its first checkpoint, with other settings."""
    train.main(words(tree, tmp_path, stages="[]", **{"model.rows": 4}))
    with monkeypatch.context() as patch:
        dies(patch, CodeSOM, "on_fit_start")
        with pytest.raises(RuntimeError, match="a power cut"):
            train.main(words(tree, tmp_path, stages="[]", **{"model.rows": 5}))
    with pytest.raises(ValueError, match=r"those of the latest run, '.*version_0'.* model.rows is 6 here, 4 there"):
        train.main([*words(tree, tmp_path, stages="[]", **{"model.rows": 6}), "--resume"])
    with pytest.raises(SystemExit):  # whole, behind one that kept nothing
        train.main([*words(tree, tmp_path, stages="[]", **{"model.rows": 4}), "--resume"])


class Hostile:
    def __reduce__(self):
        return os.system, ("touch HOSTILE",)


def test_a_hostile_checkpoint_is_refused_in_one_line(tree, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        dies(patch, CodeSOM, "training_step", 2)
        with pytest.raises(RuntimeError, match="a power cut"):
            train.main(words(tree, tmp_path))
    path = the_folder(tmp_path) / LAST
    torch.save(torch.load(path, weights_only=True) | {"hyper_parameters": Hostile()}, path)
    for more in (["--resume"], [f"--ckpt_path={path}"]):
        monkeypatch.setattr(sys, "argv", ["train.py", *words(tree, tmp_path), *more])
        capsys.readouterr()
        assert train.run() == 1
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train.py: error:")]
        assert len(errors) == 1
        assert f"'{path}' is no checkpoint of a fit" in errors[0]
    assert not (tmp_path / "HOSTILE").exists()

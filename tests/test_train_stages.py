"""Which stages a command runs, what a fit needs to go on, and what a user's mistake ends with."""

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning import Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from callbacks.report import closing_table
from lightning_modules import CodeSOM
from tests.tiny import DOTTED
from tests.whole_runs import (  # noqa: F401 (fixtures)
    ROOT,
    assert_whole,
    finished,
    options,
    own_argv,
    run_folder,
    tree,
)


def test_without_a_subcommand_fit_runs_and_argv_stays(tree, tmp_path, monkeypatch):
    words = options(tree, tmp_path, stages="[]")
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    cli = train.main()
    assert cli.config.subcommand == "fit"
    assert cli.trainer.state.fn == "fit"
    # Lightning's DDP executes sys.argv again in its child processes.
    assert sys.argv == ["train.py", *words]


def test_the_subcommand_fit_runs_alone(tree, tmp_path):
    cli = train.main(["fit", *options(tree, tmp_path)])
    assert cli.config.fit.stages == []
    assert cli.trainer.state.fn == "fit"
    assert not (run_folder(cli) / "measures.json").exists()
    assert train._with_subcommand(["fit", "--stages", "[analyse]"]) == ["fit", "--stages", "[analyse]"]


def test_the_analysis_has_options(tree, tmp_path):
    words = {"stages": "[analyse]", "analysis.train_pass": "false", "analysis.samples": 4}
    cli = train.main(options(tree, tmp_path, **words))
    found = json.loads((run_folder(cli) / "measures.json").read_text())["validate"]
    assert "label_transfer" not in found
    assert set(found["sampled_codes"].values()) == {4}
    assert "label transfer" not in closing_table({"validate": found})
    with pytest.raises(ValueError, match="permutations must be 1 or more"):
        train.main(options(tree, tmp_path, **{"analysis.permutations": 0}))


@pytest.mark.parametrize(("stages", "left"), [([], set()), (["analyse"], {"validate"}), (["attack"], {"test"})])
def test_stages_choose_what_follows_a_fit(tree, tmp_path, stages, left):
    cli = train.main(options(tree, tmp_path, stages=json.dumps(stages)))
    folder = run_folder(cli)
    assert (folder / "checkpoints" / "last.ckpt").exists()
    path = folder / "measures.json"
    assert (json.loads(path.read_text()).keys() if path.exists() else set()) == left
    assert (folder / "bmus.parquet").exists() == ("validate" in left)
    assert (folder / "adversarial.parquet").exists() == ("test" in left)


def test_validate_and_test_run_alone_from_a_checkpoint(finished, tree, tmp_path):
    _, whole, _ = finished
    expected = json.loads((whole / "measures.json").read_text())
    checkpoint = {"ckpt_path": whole / "checkpoints" / "last.ckpt"}
    for stage, file in (("validate", "bmus.parquet"), ("test", "adversarial.parquet")):
        folder = run_folder(train.main([stage, *options(tree, tmp_path / stage, **checkpoint)]))
        assert json.loads((folder / "measures.json").read_text()) == {stage: expected[stage]}
        pd.testing.assert_frame_equal(pd.read_parquet(folder / file), pd.read_parquet(whole / file))
        assert not (folder / "checkpoints").exists()


def test_predict_writes_codes_and_keeps_none_in_memory(finished, tree, tmp_path, monkeypatch):
    cli, _, _ = finished
    returned = []
    predict = Trainer.predict

    @functools.wraps(predict)  # LightningCLI reads the signature
    def spy(self, *args, **kwargs):
        returned.append(predict(self, *args, **kwargs))
        return returned[-1]

    monkeypatch.setattr(Trainer, "predict", spy)
    train.main(["predict", *options(tree, tmp_path)])
    assert returned == [None], "codes of all images would fill the memory: CodeWriter streams them to disk"
    (folder,) = (tmp_path / "codes").iterdir()
    for split, count in (("train", 12), ("val", 6)):
        assert np.load(folder / split / "ids.npy").tolist() == list(range(count))
        for depth in DOTTED:
            width = cli.model.extractor.dimensions[depth]
            assert np.load(folder / split / f"{depth}.npy").shape == (count, width)


def test_a_stage_without_maps_says_what_to_give(tree, tmp_path):
    with pytest.raises(ValueError, match=r"the maps are empty: .*--ckpt_path"):
        train.main(["validate", *options(tree, tmp_path)])


@pytest.mark.parametrize("rule", ["gradient", "batch", "ema"])
def test_a_fit_that_dies_goes_on_from_its_last_epoch(tree, tmp_path, monkeypatch, rule):
    settings = {"stages": "[]", "trainer.max_epochs": 3, "model.rule": rule, "model.alpha": "[0.9, 0.5]"}
    whole = train.main(options(tree, tmp_path / "whole", **settings))
    step = CodeSOM.training_step

    def dies(self, batch, batch_idx):
        if self.current_epoch == 1 and batch_idx == 1:
            raise RuntimeError("out of memory")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(CodeSOM, "training_step", dies)
        with pytest.raises(RuntimeError, match="out of memory"):
            train.main(options(tree, tmp_path / "dead", **settings))
    (folder,) = (tmp_path / "dead").rglob("checkpoints")
    assert [path.name for path in folder.iterdir()] == ["last.ckpt"]
    path = folder / "last.ckpt"
    kept = path.read_bytes()

    with pytest.warns(UserWarning, match="maps are of an unfinished fit: 1 of 3 epochs are done"):
        train.main(["validate", *options(tree, tmp_path / "early", **settings | {"stages": None}, ckpt_path=path)])
    resumed = train.main(options(tree, tmp_path / "resumed", **settings, ckpt_path=path))
    (last,) = (run_folder(resumed) / "checkpoints").iterdir()
    ends = [torch.load(p, weights_only=True) for p in (last, run_folder(whole) / "checkpoints" / "last.ckpt")]
    assert ends[0]["samples_seen"] == ends[1]["samples_seen"] == 36
    assert ends[0]["global_step"] == ends[1]["global_step"] == 9
    assert ends[0]["state_dict"].keys() == ends[1]["state_dict"].keys()
    for name, value in ends[0]["state_dict"].items():
        assert torch.equal(value, ends[1]["state_dict"][name]), name
    assert path.read_bytes() == kept, "the dead run's own checkpoint stays as it was"


def test_the_checkpoint_is_written_after_every_epoch_and_its_validation(tree, tmp_path, monkeypatch):
    events = []
    save, validated = Trainer.save_checkpoint, CodeSOM.on_validation_epoch_end

    def saved(self, path, **settings):
        events.append(Path(path).name)
        save(self, path, **settings)

    monkeypatch.setattr(Trainer, "save_checkpoint", saved)
    monkeypatch.setattr(CodeSOM, "on_validation_epoch_end", lambda self: events.append("validated") or validated(self))
    words = {"trainer.max_epochs": 3, "trainer.num_sanity_val_steps": 0}
    cli = train.main(options(tree, tmp_path, stages="[]", **words))
    assert events == ["validated", ".last.ckpt.part"] * 3
    assert torch.load(run_folder(cli) / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 9


def test_max_steps_end_the_schedules(tree, tmp_path):
    cli = train.main(options(tree, tmp_path, stages="[analyse]", **{"trainer.max_epochs": 3, "trainer.max_steps": 4}))
    events = EventAccumulator(str(run_folder(cli)), size_guidance={"scalars": 0}).Reload()
    sigmas = [event.value for event in events.Scalars("fit/sigma")]
    assert sigmas == pytest.approx([2 * 0.35 ** (step / 4) for step in range(4)], rel=1e-5)


def command(*words, folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words], cwd=folder, env=environment, capture_output=True, text=True
    )


MISTAKES = [
    (
        {"data.root": "nowhere"},
        "data.root 'nowhere' is not a folder: give one that holds train/ and val/ class folders",
    ),
    ({"model.backbone": "resnet19"}, "backbone 'resnet19' is unknown; did you mean"),
    ({"ckpt_path": "nowhere.ckpt"}, "--ckpt_path 'nowhere.ckpt' is not a file"),
    ({"model.taps": "[firts]"}, "layer 'firts' is not a module of"),
    ({"data.batch_size": 13}, "data.batch_size 13 exceeds the 12 training images"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_a_users_mistake_is_one_line(tree, tmp_path, monkeypatch, capsys, changes, message):
    words = options(tree, tmp_path, **changes)
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    assert train.run() == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("train.py: error:"))
    assert line.startswith(f"train.py: error: {message}")

    monkeypatch.setattr(sys, "argv", ["train.py", *words, "--debug"])
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        train.run()


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "message"), MISTAKES[:2])
def test_a_users_mistake_in_a_shell_shows_no_traceback(tree, tmp_path, changes, message):
    result = command(*options(tree, tmp_path, **changes), folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"train.py: error: {message}")
    assert "Traceback" not in result.stderr + result.stdout


@pytest.mark.slow
def test_the_command_itself_runs(tree, tmp_path):
    result = command(*options(tree, "runs", pictures="true"), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "the run's folder: runs/somscope/version_0" in result.stdout
    assert "Warning" not in result.stderr
    assert "Tip" not in result.stderr + result.stdout
    assert_whole(tmp_path / "runs" / "somscope" / "version_0", DOTTED)

import json

import pytest
import torch
from safetensors.torch import load_file

import train
from callbacks.run_folder import run_folder
from lightning_modules import CodeSOM
from tests.conftest import write_tree
from tests.whole_runs import options, own_argv  # noqa: F401


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "images", {"train": 4, "val": 2, "test": 1})


def test_a_run_that_broke_off_goes_on_to_the_same_end(tree, tmp_path, monkeypatch):
    words = {"trainer.max_epochs": 3}
    whole = run_folder(train.main(options(tree, tmp_path / "whole", **words)).trainer)
    step = CodeSOM.training_step

    def broken(module, batch, batch_idx):
        if module.global_step == 4:
            raise RuntimeError("power cut")
        return step(module, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(CodeSOM, "training_step", broken)
        with pytest.raises(RuntimeError, match="power cut"):
            train.main(options(tree, tmp_path / "parts", **words))
    again = [*options(tree, tmp_path / "parts", **words), "--resume"]
    parts = run_folder(train.main(again).trainer)
    assert parts.name == "version_0"
    maps = [load_file(folder / "maps.safetensors") for folder in (whole, parts)]
    assert maps[0].keys() == maps[1].keys()
    assert all(torch.equal(value, maps[1][name]) for name, value in maps[0].items())
    for name in ("bmus.parquet", "images.parquet", "measures.json", "adversarial.parquet"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name
    states = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (whole, parts)]
    for name, value in states[0]["state_dict"].items():
        assert torch.equal(states[1]["state_dict"][name], value), name
    assert json.loads((parts / "stages.json").read_text())["whole"] == ["analyse", "attack", "fit"]
    with pytest.raises(SystemExit) as end:
        train.main(again)
    assert end.value.code == 0, "nothing is left to do"


def test_other_settings_are_refused_by_name(tree, tmp_path):
    train.main(options(tree, tmp_path, stages="[]"))
    with pytest.raises(ValueError, match=r"--resume: the settings differ .*: model\.rows is 5 here, 3 there\."):
        train.main([*options(tree, tmp_path, stages="[]", **{"model.rows": 5}), "--resume"])


def test_without_a_run_a_new_one_starts(tree, tmp_path):
    cli = train.main([*options(tree, tmp_path, stages="[]"), "--resume"])
    assert (run_folder(cli.trainer) / "maps.safetensors").is_file()


@pytest.mark.parametrize("content", ["{", "[]", '{"whole": 3, "command": "fit"}', '{"whole": []}', b"\xff"])
@pytest.mark.parametrize("name", ["stages.json", "config.yaml"])
def test_a_broken_file_of_the_run_is_named(tree, tmp_path, name, content):
    train.main(options(tree, tmp_path, stages="[]"))
    path = tmp_path / "somscope" / "version_0" / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"^'{path}' is broken|--resume: the settings differ") as refusal:
        train.main([*options(tree, tmp_path, stages="[]"), "--resume"])
    assert "\n" not in str(refusal.value)

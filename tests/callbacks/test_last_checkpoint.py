import os

import pytest
import torch
from pytorch_lightning import Trainer

from callbacks.last_checkpoint import LAST, LastCheckpoint
from tests.tiny import make_data, make_model, make_trainer


def fit(tree, folder, keeper, **settings):
    trainer = make_trainer(folder, keeper, **({"enable_checkpointing": True} | settings))
    trainer.fit(make_model(), datamodule=make_data(tree))
    return trainer


@pytest.mark.parametrize(("every", "steps"), [(None, [3, 6]), (1, [1, 2, 3, 4, 5, 6]), (2, [2, 3, 4, 6]), (3, [3, 6])])
def test_it_is_written_at_the_end_of_an_epoch_and_every_so_many_steps(make_tree, tmp_path, monkeypatch, every, steps):
    seen = []
    replace = os.replace

    def spy(part, path):
        replace(part, path)
        if os.path.basename(path) == "last.ckpt":
            seen.append(torch.load(path, weights_only=True)["global_step"])

    monkeypatch.setattr(os, "replace", spy)
    fit(make_tree({"train": 4, "val": 1}), tmp_path, LastCheckpoint(every))  # 2 epochs of 3 steps
    assert seen == steps
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


def test_a_write_that_dies_leaves_the_one_before(make_tree, tmp_path, monkeypatch):
    save = Trainer.save_checkpoint

    def dies(self, path, *rest, **more):
        if self.global_step == 6:
            path.write_bytes(b"half of it")
            raise OSError("No space left on device")
        save(self, path, *rest, **more)

    monkeypatch.setattr(Trainer, "save_checkpoint", dies)
    with pytest.raises(OSError, match="No space left"):
        fit(make_tree({"train": 4, "val": 1}), tmp_path, LastCheckpoint())
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == 3


def test_it_holds_plain_types_only(make_tree, tmp_path):
    fit(make_tree({"train": 4, "val": 1}), tmp_path, LastCheckpoint(1), max_epochs=1)

    def kinds(value):
        if isinstance(value, dict):
            return set().union({dict}, *(kinds(inner) for pair in value.items() for inner in pair))
        if isinstance(value, list | tuple):
            return set().union({type(value)}, *map(kinds, value))
        return {type(value)}

    found = kinds(torch.load(tmp_path / LAST, weights_only=True))
    assert {kind.__name__ for kind in found} <= {
        "dict", "OrderedDict", "list", "tuple", "str", "int", "float", "bool", "NoneType", "Tensor"
    }  # fmt: skip


def test_a_trial_run_writes_none(make_tree, tmp_path):
    fit(make_tree({"train": 4, "val": 1}), tmp_path, LastCheckpoint(1), fast_dev_run=2)
    assert not (tmp_path / "checkpoints").exists()


def test_a_step_below_one_is_refused():
    with pytest.raises(ValueError, match=r"checkpoint\.every_n_train_steps is 0: give at least 1, or null"):
        LastCheckpoint(0)

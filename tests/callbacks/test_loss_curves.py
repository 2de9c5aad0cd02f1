import math

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning.callbacks import Callback

from callbacks import LossCurves, loss_curves
from callbacks.loss_curves import read_losses
from tests.callbacks.conftest import TAPS, make_data, make_module, make_trainer


class Heard(Callback):
    """Every logged number of every step."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer, *args) -> None:
        self.rows.append({name: float(value) for name, value in trainer.callback_metrics.items()})


@pytest.fixture
def data(make_tree):
    return make_data(make_tree({"train": 8, "val": 2}))  # 24 images: 6 steps an epoch


def test_every_step_is_recorded(tmp_path, data):
    heard = Heard()
    make_trainer(tmp_path, LossCurves(), heard, max_epochs=2, log_every_n_steps=5).fit(make_module(), datamodule=data)
    table = pd.read_parquet(tmp_path / "run" / "v" / "losses.parquet")
    assert list(table.columns) == ["step", "depth", "sigma", "energy", "relative_energy"]
    curves = read_losses(tmp_path / "run" / "v")
    assert list(curves) == ["energy", "relative_energy"]
    for depth in TAPS:
        rows = table[table.depth == depth]
        assert rows.step.tolist() == list(range(1, 13))
        for quantity in ("energy", "relative_energy"):
            expected = [row[f"fit/{quantity}/{depth}"] for row in heard.rows]
            np.testing.assert_allclose(rows[quantity], expected, rtol=1e-6)
            steps, values = curves[quantity][depth]
            assert steps.tolist() == rows.step.tolist()
            np.testing.assert_array_equal(values, rows[quantity])
        np.testing.assert_allclose(rows.sigma, [row["fit/sigma"] for row in heard.rows], rtol=1e-6)


def test_the_curve_goes_on_after_a_resume(tmp_path, data):
    make_trainer(tmp_path / "whole", LossCurves(), max_epochs=2).fit(make_module(), datamodule=data)
    first = make_trainer(tmp_path / "a", LossCurves(), StopAfter(1), max_epochs=2)
    first.fit(make_module(), datamodule=data)
    first.save_checkpoint(tmp_path / "last.ckpt")
    second = make_trainer(tmp_path / "b", LossCurves(), max_epochs=2)
    second.fit(make_module(), datamodule=data, ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True)
    whole, resumed = (read_losses(tmp_path / name / "run" / "v")["energy"]["CL1"] for name in ("whole", "b"))
    assert resumed[0].tolist() == whole[0].tolist() == list(range(1, 13))
    np.testing.assert_allclose(resumed[1], whole[1], rtol=1e-5)


class StopAfter(Callback):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, *args) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


def test_a_long_fit_is_thinned_evenly(tmp_path, data, monkeypatch):
    monkeypatch.setattr(loss_curves, "MOST", 8)
    make_trainer(tmp_path, LossCurves(), max_epochs=4).fit(make_module(), datamodule=data)
    steps, values = read_losses(tmp_path / "run" / "v")["energy"]["CL2"]
    assert steps.tolist() == [4, 8, 12, 16, 20, 24]
    assert np.isfinite(values).all()


def test_another_fit_begins_anew(tmp_path, data):
    callback = LossCurves()
    for name in ("a", "b"):
        make_trainer(tmp_path / name, callback).fit(make_module(), datamodule=data)
    assert read_losses(tmp_path / "b" / "run" / "v")["energy"]["CL1"][0].tolist() == list(range(1, 7))


def test_what_was_not_logged_is_null(tmp_path):
    callback = LossCurves()
    callback.load_state_dict({"every": 1, "steps": [1, 2], "rows": [[2.0, 5.0, math.nan], [1.0, 4.0, math.nan]]})
    assert callback.state_dict()["rows"][0][:2] == [2.0, 5.0]
    table = callback._table(("CL1",)).to_pydict()
    assert table["relative_energy"] == [None, None]
    assert table["energy"] == [5, 4]
    assert torch.tensor(table["sigma"]).tolist() == [2, 1]


def test_a_run_without_a_fit_has_no_curves(tmp_path):
    assert read_losses(tmp_path) == {}

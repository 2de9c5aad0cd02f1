"""Records the loss of every map while fitting, and leaves it as losses.parquet: curves that need no event file.

One row a recorded step and depth: step (training steps, 1 after the first), depth, sigma, energy (the loss, in code
units squared) and relative_energy (comparable between depths; null where it was not logged).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from callbacks.figures.losses import Curve
from callbacks.run_folder import atomic, run_folder
from lightning_modules import CodeSOM

__all__ = ["LOSSES", "LossCurves", "read_losses"]

LOSSES = "losses.parquet"
MOST = 4000  # recorded steps; above it every second is dropped
QUANTITIES = ("energy", "relative_energy")
SCHEMA = pa.schema(
    {"step": pa.int64(), "depth": pa.string(), "sigma": pa.float64()} | dict.fromkeys(QUANTITIES, pa.float64())
)


class LossCurves(Callback):
    """Keeps at most 4,000 evenly spaced steps, in checkpoints too, so that a resumed fit has whole curves."""

    def __init__(self) -> None:
        self._every = 1
        self._steps: list[int] = []
        self._rows: list[Tensor] = []  # (1 + 2 L,) float64: sigma, then each depth's quantities; NaN where not logged

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self._every, self._steps, self._rows = 1, [], []

    @override
    def on_train_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, pl_module: CodeSOM, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step % self._every or not trainer.is_global_zero:
            return
        logged = trainer.callback_metrics
        names = [f"fit/{quantity}/{depth}" for depth in pl_module.depths for quantity in QUANTITIES]
        absent = torch.tensor(math.nan, device=pl_module.device)
        values = [logged.get(name, absent) for name in ["fit/sigma", *names]]
        self._steps.append(step)
        self._rows.append(torch.stack([value.double().to(absent.device) for value in values]))  # waits for no device
        if len(self._steps) > MOST:
            self._every *= 2
            kept = [number for number, recorded in enumerate(self._steps) if recorded % self._every == 0]
            self._steps = [self._steps[number] for number in kept]
            self._rows = [self._rows[number] for number in kept]

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        folder = run_folder(trainer)
        if trainer.is_global_zero and self._steps:
            with atomic(folder / LOSSES) as part:
                pq.write_table(self._table(pl_module.depths), part)

    @override
    def state_dict(self) -> dict[str, Any]:
        rows = torch.stack(self._rows).tolist() if self._rows else []
        return {"every": self._every, "steps": list(self._steps), "rows": rows}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._every, self._steps = state_dict["every"], list(state_dict["steps"])
        self._rows = [torch.tensor(row, dtype=torch.float64) for row in state_dict["rows"]]

    def _table(self, depths: tuple[str, ...]) -> pa.Table:
        values = np.array([row.cpu().numpy() for row in self._rows])  # (T, 1 + 2 L)
        tables = []
        for number, depth in enumerate(depths):
            columns = values[:, 1 + len(QUANTITIES) * number :][:, : len(QUANTITIES)]
            found = {"sigma": values[:, 0]} | dict(zip(QUANTITIES, columns.T, strict=True))
            nulls = {name: pa.array(column, mask=np.isnan(column)) for name, column in found.items()}
            names = pa.repeat(pa.scalar(depth), len(self._steps))
            tables.append(pa.table({"step": self._steps, "depth": names} | nulls, schema=SCHEMA))
        return pa.concat_tables(tables)


def read_losses(folder: Path) -> dict[str, dict[str, Curve]]:
    """Read the curves {quantity: {depth: (steps, values)}} that a fit left; empty if it left none.

    Args:
        folder: the run's folder.
    """
    path = folder / LOSSES
    if not path.exists():
        return {}
    table = pq.read_table(path)
    depths = list(dict.fromkeys(table["depth"].to_pylist()))
    curves: dict[str, dict[str, Curve]] = {}
    for depth in depths:
        rows = table.filter(pc.field("depth") == depth)
        for quantity in QUANTITIES:
            values = rows[quantity].to_numpy()
            if np.isfinite(values).any():
                curves.setdefault(quantity, {})[depth] = (rows["step"].to_numpy(), values)
    return curves

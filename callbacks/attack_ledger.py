"""The attack ledger, adversarial.parquet: one row a sample, attack and budget, attacked or not.

Columns: id, label (the data's), reference (the class that counts as right, as the backbone numbers them), attack,
epsilon (pixel units), attacked (false: wrong when clean; then the attack's columns are null), clean_prediction,
adversarial_prediction, control_prediction, linf, l2 and control_linf, control_l2 (realised norms, pixel units), steps,
seed, and for each depth the BMUs `<depth>_clean`, `<depth>_adversarial`, `<depth>_control`, as unit numbers
row * cols + col.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytorch_lightning as pl
from torch import Tensor

from callbacks.sharded_parquet import ShardedParquet

__all__ = ["AttackLedger"]

BMU_KINDS = ("clean", "adversarial", "control")
NORMS = ("linf", "l2", "control_linf", "control_l2")


class AttackLedger:
    """Streams rows from every process into one file, sorted by attack, budget and sample.

    Args:
        folder: the run's folder.
        depths: names of the depths.
        trainer: for the rank and the barrier.
    """

    def __init__(self, folder: Path, depths: tuple[str, ...], trainer: pl.Trainer) -> None:
        self.depths = depths
        fields = {
            "id": pa.int64(),
            "label": pa.int64(),
            "reference": pa.int64(),
            "attack": pa.string(),
            "epsilon": pa.float64(),
            "attacked": pa.bool_(),
            "clean_prediction": pa.int64(),
            "adversarial_prediction": pa.int64(),
            "control_prediction": pa.int64(),
            **dict.fromkeys(NORMS, pa.float32()),
            "steps": pa.int32(),
            "seed": pa.int64(),
            **{f"{depth}_{kind}": pa.int32() for depth in depths for kind in BMU_KINDS},
        }
        keys = ["attack", "epsilon", "id"]
        self._file = ShardedParquet(folder / "adversarial.parquet", pa.schema(fields), keys, trainer)

    def write(
        self, clean: dict[str, Any], attacked: Tensor, found: dict[str, Any] | None, settings: dict[str, Any]
    ) -> None:
        """Add the rows of one batch under one attack and budget.

        Args:
            clean: columns known of every image of the batch: (B,) tensors by column name.
            attacked: (B,) bool.
            found: columns known of the attacked images only, by column name; None if no image was attacked.
            settings: attack, epsilon, steps and seed.
        """
        mask = attacked.cpu().numpy()
        columns: dict[str, Any] = {name: values.cpu().numpy() for name, values in clean.items()} | settings
        columns["attacked"] = mask
        for field in self._file.schema:
            if field.name not in columns:
                columns[field.name] = _spread(None if found is None else found[field.name], mask, field.type)
        self._file.write(columns)

    def close(self) -> None:
        """Merge all processes' rows into the file. A collective."""
        self._file.close()

    def abandon(self) -> None:
        """Drop the rows; a ledger of an earlier run of the stage is left as it was."""
        self._file.abandon()


def _spread(values: Tensor | None, attacked: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Put values of the attacked images at their places, null elsewhere."""
    if values is None:
        return pa.nulls(len(attacked), kind)
    full = np.zeros(len(attacked), values.cpu().numpy().dtype)
    full[attacked] = values.cpu().numpy()
    return pa.array(full, mask=~attacked).cast(kind)

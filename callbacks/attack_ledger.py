"""The attack ledger, adversarial.parquet: one row a sample, attack and budget, attacked or not.

Columns: id, label (the data's), reference (the class that counts as right, as the backbone numbers them), attack,
epsilon_255 (the budget in 1/255, as in the config), epsilon (the same in pixel units), attacked (false: wrong when
clean; then the attack's columns are null), clean_prediction, adversarial_prediction, control_prediction, linf, l2 and
control_linf, control_l2 (realised norms, pixel units), steps, seed, and for each depth the BMUs of the clean, the
adversarial and the control image: `<depth>_clean_row`, `<depth>_clean_col` and so on. The schema's metadata repeats the
units, and has under "reference" what counts as right: "labels" or the backbone's "own prediction".
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytorch_lightning as pl
from torch import Tensor

from callbacks.sharded_parquet import ShardedParquet

__all__ = ["AttackLedger", "Reference"]

Reference = Literal["labels", "own prediction"]
BMU_KINDS = ("clean", "adversarial", "control")
NORMS = ("linf", "l2", "control_linf", "control_l2")
UNITS = {
    "epsilon_255": "1/255 of the pixel range, as in the config",
    **dict.fromkeys(("epsilon", *NORMS), "pixel values in [0, 1]"),
}


class AttackLedger:
    """Streams rows from every process into one file, sorted by attack, budget and sample.

    Args:
        folder: the run's folder.
        depths: names of the depths.
        cols: columns of the lattice.
        reference: what counts as right: "labels" or "own prediction".
        trainer: for the rank and the barrier.
    """

    def __init__(
        self, folder: Path, depths: tuple[str, ...], cols: int, reference: Reference, trainer: pl.Trainer
    ) -> None:
        self.cols = cols
        self._bmus = [f"{depth}_{kind}" for depth in depths for kind in BMU_KINDS]
        fields = {
            "id": pa.int64(),
            "label": pa.int64(),
            "reference": pa.int64(),
            "attack": pa.string(),
            "epsilon_255": pa.float64(),
            "epsilon": pa.float64(),
            "attacked": pa.bool_(),
            "clean_prediction": pa.int64(),
            "adversarial_prediction": pa.int64(),
            "control_prediction": pa.int64(),
            **dict.fromkeys(NORMS, pa.float32()),
            "steps": pa.int32(),
            "seed": pa.int64(),
            **{f"{bmu}_{axis}": pa.int32() for bmu in self._bmus for axis in ("row", "col")},
        }
        schema = pa.schema(fields, {"reference": reference} | {f"unit of {name}": unit for name, unit in UNITS.items()})
        self._file = ShardedParquet(folder / "adversarial.parquet", schema, ["attack", "epsilon", "id"], trainer)

    def write(
        self, clean: dict[str, Any], attacked: Tensor, found: dict[str, Any] | None, settings: dict[str, Any]
    ) -> None:
        """Add the rows of one batch under one attack and budget.

        Args:
            clean: columns known of every image of the batch: (B,) tensors by column name; BMUs are unit numbers,
                `<depth>_clean`.
            attacked: (B,) bool.
            found: columns known of the attacked images only, likewise; None if no image was attacked.
            settings: attack, epsilon_255, epsilon, steps and seed.
        """
        mask = attacked.cpu().numpy()
        columns: dict[str, Any] = {
            name: values.cpu().numpy() for name, values in self._located(clean).items()
        } | settings
        columns["attacked"] = mask
        found = None if found is None else self._located(found)
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

    def _located(self, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """The columns, with the row and the column of each BMU in place of its unit number."""
        units = {bmu: columns[bmu] for bmu in self._bmus if bmu in columns}
        places = {f"{bmu}_row": unit // self.cols for bmu, unit in units.items()}
        places |= {f"{bmu}_col": unit % self.cols for bmu, unit in units.items()}
        return {name: values for name, values in columns.items() if name not in units} | places


def _spread(values: Tensor | None, attacked: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Put values of the attacked images at their places, null elsewhere."""
    if values is None:
        return pa.nulls(len(attacked), kind)
    full = np.zeros(len(attacked), values.cpu().numpy().dtype)
    full[attacked] = values.cpu().numpy()
    return pa.array(full, mask=~attacked).cast(kind)

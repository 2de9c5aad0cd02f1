"""The attack ledger, adversarial.parquet: one row a sample, attack and budget, attacked or not; docs/attacks.md.

It is streamed and resumable. What one attack did to one batch is a small Parquet file of its own in the folder
`.adversarial.parts`, which appears whole or not at all, so that a stage that was killed loses no finished batch:
started again in the same folder it attacks only what is missing. At the end the parts are merged, one attack and budget
at a time, into a file whose rows are sorted by attack, budget and sample; it does not depend on batches or processes.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytorch_lightning as pl
import torch
from pyarrow import dataset
from torch import Tensor

from callbacks.attack.images import AttackedImages
from callbacks.attack.specs import AttackSpec
from callbacks.run_folder import atomic

__all__ = ["KINDS", "AttackLedger", "Reference", "ledger_schema", "read_ledger"]

Reference = Literal["labels", "own prediction"]
KINDS = ("clean", "adversarial", "control", "gaussian")
PERTURBED = KINDS[1:]
NORMS = ("linf", "l2", "l1", "l0")
FILE, PARTS = "adversarial.parquet", ".adversarial.parts"
UNITS = {
    "budget": "as in the config: 1/255 of the pixel range for linf, pixel values for l2 and l1, a count for l0",
    "epsilon": "pixel values in [0, 1]; for l0 a count",
    **dict.fromkeys(NORMS[:3], "pixel values in [0, 1]"),
}


def ledger_schema(depths: Sequence[str], reference: Reference, referenced: bool) -> pa.Schema:
    """The columns, in their order.

    Args:
        depths: names of the depths.
        reference: what counts as right.
        referenced: whether training images were passed, which some columns need.
    """
    outliers = ("lid", "knn", "mahalanobis") if referenced else ()
    by_depth: dict[str, pa.DataType] = {}
    for depth in depths:
        for kind in KINDS:
            by_depth |= dict.fromkeys((f"{depth}_{kind}_row", f"{depth}_{kind}_col"), pa.int32())
        by_depth[f"{depth}_margin"] = pa.float32()
        for kind in KINDS:
            by_depth |= dict.fromkeys((f"{depth}_{kind}_{score}" for score in ("error", *outliers)), pa.float32())
        for kind in PERTURBED:
            changes = ("shift", "progress") if referenced else ("shift",)
            by_depth |= dict.fromkeys((f"{depth}_{kind}_{change}" for change in changes), pa.float32())
    fields = {
        **dict.fromkeys(("id", "label", "reference"), pa.int64()),
        **dict.fromkeys(("attack", "norm", "control", "source"), pa.string()),
        **dict.fromkeys(("budget", "epsilon"), pa.float64()),
        "attacked": pa.bool_(),
        "target": pa.int64(),
        **dict.fromkeys((f"{kind}_prediction" for kind in KINDS), pa.int64()),
        "logit_margin": pa.float32(),
        **dict.fromkeys((f"{kind}_{score}" for kind in KINDS for score in ("confidence", "energy")), pa.float32()),
        **dict.fromkeys(NORMS, pa.float32()),
        **dict.fromkeys((f"{kind}_{norm}" for kind in KINDS[2:] for norm in NORMS), pa.float32()),
        **dict.fromkeys(("steps", "restarts"), pa.int32()),
        "seed": pa.int64(),
        **by_depth,
    }
    return pa.schema(fields, {"reference": reference} | {f"unit of {name}": unit for name, unit in UNITS.items()})


class AttackLedger:
    """The ledger of a stage, written by every process; all of them must see the same file system.

    Args:
        folder: the run's folder.
        schema: of `ledger_schema`.
        specs: the attacks.
        settings: all that rows depend on, as JSON can hold it: parts of other settings are refused.
        trainer: for the rank and the barrier.

    Raises:
        ValueError: if the folder holds parts of other settings.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        specs: Sequence[AttackSpec],
        settings: Mapping[str, Any],
        trainer: pl.Trainer,
    ) -> None:
        self.path = folder / FILE
        self.parts = folder / PARTS
        self.schema = schema.with_metadata((schema.metadata or {}) | {b"settings": json.dumps(settings).encode()})
        self.specs = {spec.label: spec for spec in specs}
        self.trainer = trainer
        self.images = AttackedImages(folder, self.parts)
        self._check(folder, settings)
        self.parts.mkdir(parents=True, exist_ok=True)
        self._done = {label: self._finished(label) for label in self.specs}
        trainer.strategy.barrier("ledger read")  # before any process adds parts to it

    def missing(self, label: str, ids: Tensor) -> Tensor:
        """Which of the samples (B,) have no rows yet of an attack, (B,) bool."""
        return torch.from_numpy(np.isin(ids.cpu().numpy(), self._done[label], invert=True)).to(ids.device)

    def finished(self, label: str) -> int:
        """How many samples have rows of an attack from an earlier start."""
        return len(self._done[label])

    def write(self, label: str, columns: Sequence[Mapping[str, Any]]) -> None:
        """Add the rows of one batch under one attack.

        Args:
            label: the attack.
            columns: for each budget (B,) arrays or scalars by column name; columns that are missing become null.
        """
        first = int(np.min(columns[0]["id"]))  # no other batch has it, so the file's name is its own
        with atomic(self.parts / f"{label}@{first:09d}.parquet") as part, pq.ParquetWriter(part, self.schema) as writer:
            for each in columns:  # a row group a budget, so that merging reads each budget alone
                writer.write_table(self._table(each))

    def close(self) -> None:
        """Merge all processes' rows into the file, and drop the parts. A collective."""
        self.trainer.strategy.barrier("ledger parts")
        if self.trainer.is_global_zero:
            with atomic(self.path) as whole, pq.ParquetWriter(whole, self.schema) as writer:
                for table in self._sorted():
                    writer.write_table(table, row_group_size=max(1, len(table)))
            self.images.merge(self.specs.values())
            shutil.rmtree(self.parts)
        self.trainer.strategy.barrier("ledger merged")

    def _sorted(self) -> Iterator[pa.Table]:
        """The rows by attack and budget, in order of the ids."""
        for label, spec in sorted(self.specs.items()):
            files = self._files(label)
            if not files:
                continue
            rows = dataset.dataset(files, schema=self.schema)
            for budget in spec.budgets:
                wanted = pc.field("budget").is_null() if budget is None else pc.field("budget") == budget
                yield rows.to_table(filter=wanted).sort_by("id")

    def _table(self, columns: Mapping[str, Any]) -> pa.Table:
        length = len(columns["id"])
        arrays = []
        for field in self.schema:
            value = columns.get(field.name)
            if value is None:
                arrays.append(pa.nulls(length, field.type))
            elif isinstance(value, pa.Array | np.ndarray):
                arrays.append(pa.array(value).cast(field.type))
            else:
                arrays.append(pa.array([value] * length, field.type))
        return pa.table(arrays, schema=self.schema)

    def _check(self, folder: Path, settings: Mapping[str, Any]) -> None:
        for path in sorted(self.parts.glob("*.parquet"))[:1]:
            found = json.loads(pq.read_schema(path).metadata[b"settings"])
            given = json.loads(json.dumps(settings))
            differ = [key for key in sorted(found.keys() | given.keys()) if found.get(key) != given.get(key)]
            if differ:
                raise ValueError(
                    f"'{self.parts}' holds the batches of an attack that was interrupted, with other settings "
                    f"({', '.join(differ)}): give the same settings to go on with it, or another version of the run's "
                    "folder, or delete the parts"
                )

    def _finished(self, label: str) -> np.ndarray:
        files = self._files(label)
        if not files:
            return np.zeros(0, np.int64)
        return np.unique(dataset.dataset(files).to_table(columns=["id"])["id"].to_numpy())

    def _files(self, label: str) -> list[str]:
        return sorted(map(str, self.parts.glob(f"{label}@*.parquet")))


def read_ledger(path: Path) -> Iterator[dict[str, np.ndarray]]:
    """Read a ledger, one attack and budget at a time.

    Yields:
        Column name to values (N,), in order of the ids; NaN where a number is null, and -1 where a whole number is.
    """
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            yield {name: _plain(table[name]) for name in table.column_names}


def _plain(column: pa.ChunkedArray) -> np.ndarray:
    kind = column.type
    if pa.types.is_floating(kind):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(kind):
        return column.fill_null(-1).to_numpy()
    return np.array(column.to_pylist())

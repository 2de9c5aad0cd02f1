"""A Parquet file that every process adds rows to: each streams its own part, and the first merges them in order."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import pytorch_lightning as pl

from callbacks.run_folder import atomic

__all__ = ["ShardedParquet"]


class ShardedParquet:
    """Write rows from all processes into one sorted Parquet file.

    Rows stream to `.<name>.<rank>.part` beside the file; `close` merges the parts into the file, which appears whole or
    not at all. All processes must see the same file system.

    Args:
        path: the file.
        schema: its columns.
        keys: the columns that rows are sorted by, so that their order does not depend on the processes.
        trainer: for the rank and the barrier.
    """

    def __init__(self, path: Path, schema: pa.Schema, keys: list[str], trainer: pl.Trainer) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.schema = schema
        self.keys = keys
        self.trainer = trainer
        self._writer = pq.ParquetWriter(self._part(trainer.global_rank), schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon() if error else self.close()

    def write(self, columns: dict[str, Any]) -> None:
        """Add rows: one array, list or scalar a column; scalars are repeated."""
        length = next(
            len(value) for value in columns.values() if hasattr(value, "__len__") and not isinstance(value, str)
        )
        full = {
            name: [value] * length if isinstance(value, str) or not hasattr(value, "__len__") else value
            for name, value in columns.items()
        }
        self._writer.write_table(pa.table(full, schema=self.schema))

    def close(self) -> None:
        """Merge all parts into the file, on the first process. A collective."""
        self._writer.close()
        self.trainer.strategy.barrier("parquet parts")
        if self.trainer.is_global_zero:
            parts = [self._part(rank) for rank in range(self.trainer.world_size)]
            merged = pa.concat_tables([pq.read_table(part) for part in parts])
            with atomic(self.path) as whole:
                pq.write_table(merged.sort_by([(key, "ascending") for key in self.keys]), whole)
            for part in parts:
                part.unlink()

    def abandon(self) -> None:
        """Drop what this process wrote; the file is left as it was."""
        self._writer.close()
        self._part(self.trainer.global_rank).unlink(missing_ok=True)

    def _part(self, rank: int) -> Path:
        return self.path.with_name(f".{self.path.name}.{rank}.part")

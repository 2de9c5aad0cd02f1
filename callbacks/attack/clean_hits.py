"""Where clean images land, as the pictures of an attack show it behind the attacked ones."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from callbacks.attack.group import Group

__all__ = ["clean_hits"]

COLUMNS = ("label", "row", "col")


def clean_hits(folder: Path, group: Group, classes: int) -> tuple[dict[str, np.ndarray], str]:
    """Count clean images: the validation images if the run has analysed them, or else those of the ledger itself.

    Args:
        folder: the run's.
        group: rows of one attack at one budget.
        classes: how many the data has.

    Returns:
        (classes, rows, cols) counts by depth, and which images they count.
    """
    lattice, depths = group.context.module.lattice, group.context.module.depths
    hits = {depth: np.zeros((classes, lattice.rows, lattice.cols), np.int64) for depth in depths}
    if (bmus := folder / "bmus.parquet").exists():
        with pq.ParquetFile(bmus) as file:
            for batch in file.iter_batches(columns=["depth", *COLUMNS]):
                for depth in depths:
                    rows = batch.filter(pc.equal(batch["depth"], depth))
                    np.add.at(hits[depth], tuple(rows[name].to_numpy() for name in COLUMNS), 1)
        return hits, "validation images"
    for depth in depths:
        place = (group.columns["label"], *(group.columns[f"{depth}_clean_{axis}"] for axis in ("row", "col")))
        np.add.at(hits[depth], place, 1)
    return hits, "test images"

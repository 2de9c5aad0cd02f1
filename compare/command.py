"""`python train.py compare --runs runs/a/version_0 runs/b/version_0 --out DIR`: runs side by side, from disk alone.

Leaves in DIR: figures/*.png and *.pdf, comparison.csv, comparison.md, and tensorboard/ with one TensorBoard run for
each run compared (scalars `<stage>/<measure>`, where step k is depth k) and one with the pictures and the table.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from callbacks.run_folder import atomic, save_figure
from compare.differences import differences, warning
from compare.pictures import common_depths, pictures
from compare.run import Run, read_runs
from compare.table import Row, csv_table, markdown_table, rows

__all__ = ["compare", "main"]


def main(args: Sequence[str]) -> int:
    """Run the command.

    Args:
        args: the arguments after "compare".

    Returns:
        The exit code, 0.

    Raises:
        FileNotFoundError: if there is no such run, or its analysis did not come to its end.
        ValueError: if the runs cannot be compared.
    """
    parser = argparse.ArgumentParser("train.py compare", description=__doc__.split("\n\n")[1], allow_abbrev=False)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="RUN", help="folders of finished runs")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the comparison is put")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="what to call the runs, e.g. SOM-tr SOM-val")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="the classes to show, at most 9")
    parser.add_argument(
        "--density_scale", type=float, default=100, help="factor on densities (default: the paper's 100)"
    )
    given = parser.parse_args(args)
    runs = read_runs(given.runs, given.names)
    for line in compare(runs, given.out, given.classes, given.density_scale):
        print(f"WARNING: the runs differ in {line}", file=sys.stderr)
    print(f"the comparison's folder: {given.out}")
    return 0


def compare(runs: Sequence[Run], out: Path, classes: Sequence[str] | None = None, scale: float = 100) -> list[str]:
    """Draw and write the comparison.

    Args:
        runs: of `read_runs`.
        out: where to put it; what a comparison left there before is replaced.
        classes: names of the classes to show, at most 9; None takes up to 8, evenly spaced.
        scale: factor on densities.

    Returns:
        In what the runs differ that ought to be equal, one line each; all figures and tables say the same.

    Raises:
        ValueError: if the runs have no depth or no wanted class in common, `out` is a run's own folder, or
            `scale` is not above 0.
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"--density_scale is {scale:g}: it must be above 0 and finite")
    if out.resolve() in [run.folder.resolve() for run in runs]:
        raise ValueError(f"--out '{out}' is the folder of a run: give another, since figures would be replaced")
    common_depths(runs)
    found = differences(runs)
    table = rows(runs)
    text = markdown_table(table, runs, found)
    for name, content in (("comparison.csv", csv_table(table, found)), ("comparison.md", text)):
        with atomic(out / name) as part:
            part.write_text(content)
    with SummaryWriter(str(_fresh(out / "tensorboard" / "comparison"))) as writer:
        writer.add_text("comparison", text)
        for name, figure in pictures(runs, warning(found), scale, classes):
            save_figure(out, name, figure)
            picture = np.asarray(Image.open(out / "figures" / f"{name}.png").convert("RGB"))
            writer.add_image(f"compare/{name}", picture, 0, dataformats="HWC")
    for run in runs:
        _write_scalars(out / "tensorboard" / run.name.replace("/", "_"), run, table)
    return found


def _write_scalars(folder: Path, run: Run, table: Sequence[Row]) -> None:
    """Every measure of a run as a curve over the depths."""
    steps = {depth: number for number, depth in enumerate(run.depths, start=1)}
    with SummaryWriter(str(_fresh(folder))) as writer:
        for row in table:
            if row.run == run.name and row.value is not None:
                writer.add_scalar(row.measure, row.value, steps.get(row.depth, 0))


def _fresh(folder: Path) -> Path:
    """The folder without the event files of an earlier comparison."""
    for path in folder.glob("events.out.tfevents.*"):
        path.unlink()
    return folder

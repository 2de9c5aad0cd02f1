"""What a run leaves on disk: where it lies, and how nothing half-written is taken for a whole file."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from matplotlib.figure import Figure

__all__ = ["atomic", "merge_measures", "read_measures", "run_folder", "save_figure", "sync"]

MEASURES = "measures.json"


def run_folder(trainer: pl.Trainer) -> Path:
    """Return the run's folder, runs/<experiment>/<version>. A collective: call it on every process."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def sync(path: Path) -> None:
    """Return once a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and move it to `path` once it is written whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        sync(part)  # or a power cut may leave the new name without its content
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_measures(folder: Path) -> dict[str, Any]:
    """Read every number that the run has measured so far: {stage: {quantity: {depth: value}}}.

    Raises:
        ValueError: if the file is not one that a run wrote.
    """
    path = folder / MEASURES
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:  # of JSON or of UTF-8
        raise ValueError(f"'{path}' is broken ({error}): run the analysis again, or put a whole copy there") from error
    if not isinstance(found, dict) or not all(isinstance(numbers, dict) for numbers in found.values()):
        raise ValueError(f"'{path}' holds no measures by stage: run the analysis again, or put a whole copy there")
    return found


def merge_measures(folder: Path, stage: str, numbers: dict[str, Any]) -> None:
    """Put a stage's numbers into measures.json, in place of those that the stage left before.

    Numbers that are not finite become null, since JSON knows no NaN. Keys keep their order: that of depths and budgets.
    """
    measures = read_measures(folder) | {stage: _plain(numbers)}
    with atomic(folder / MEASURES) as part:
        part.write_text(json.dumps(measures, indent=2, allow_nan=False) + "\n")


def save_figure(folder: Path, name: str, figure: Figure) -> None:
    """Save a figure as figures/<name>.png and .pdf, of the same bytes whenever it is drawn."""
    for suffix, undated in (("png", {}), ("pdf", {"CreationDate": None})):
        with atomic(folder / "figures" / f"{name}.{suffix}") as part:
            figure.savefig(part, format=suffix, dpi=150, metadata=undated)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

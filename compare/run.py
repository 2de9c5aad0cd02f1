"""A run as it lies on disk: settings, where its validation images land, what was measured; no images, no network."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from callbacks.figures.losses import Curve
from callbacks.loss_curves import read_losses
from callbacks.run_folder import read_measures
from som import Lattice

__all__ = ["Run", "read_runs"]

NEEDED = ("config.yaml", "bmus.parquet", "measures.json")


@dataclass(frozen=True)
class Run:
    """What a run left.

    Args:
        name: what it is called beside the others.
        folder: where it lies.
        settings: of the config, by dotted key.
        depths: names of the depths, from the input to the output.
        lattice: of every map.
        classes: class names, in label order.
        hits: (classes, rows, cols) counts of the validation images by depth.
        listings: by split, a digest of which images it took; empty where it listed none.
        measures: the content of measures.json.
        losses: {quantity: {depth: (steps, values)}}; empty for a run without a fit.
    """

    name: str
    folder: Path
    settings: dict[str, Any]
    depths: tuple[str, ...]
    lattice: Lattice
    classes: tuple[str, ...]
    hits: dict[str, np.ndarray]
    listings: dict[str, str]
    measures: dict[str, Any]
    losses: dict[str, dict[str, Curve]]

    @property
    def samples(self) -> np.ndarray:
        """(classes,) number of validation images of each."""
        return self.hits[self.depths[0]].sum((1, 2))


def read_runs(folders: Sequence[Path], names: Sequence[str] | None = None) -> list[Run]:
    """Read finished runs.

    Args:
        folders: of the runs, such as runs/quickstart/version_0.
        names: what to call them; None takes the shortest of backbone, weights and folder that tells them apart.

    Raises:
        FileNotFoundError: if there is no such run, or its analysis did not come to its end.
        ValueError: if a run is given twice, the names do not pair up, or a file is not what a run leaves.
    """
    resolved = [folder.resolve() for folder in folders]
    for number, folder in enumerate(resolved):
        if folder in resolved[:number]:
            raise ValueError(f"the run '{folders[number]}' is given twice: give each run once")
        _check(folders[number])
    configs = [_settings(folder / "config.yaml") for folder in folders]
    names = list(names) if names else _names(folders, configs)
    if len(names) != len(folders) or len(set(names)) < len(names):
        raise ValueError(f"--names must be one different name for each of the {len(folders)} runs; got {names}")
    return [_read(folder, config, name) for folder, config, name in zip(folders, configs, names, strict=True)]


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no run '{folder}': give the folders of runs, such as runs/NAME/version_0")
    lacking = [name for name in NEEDED if not (folder / name).exists()]
    versions = sorted(str(path.parent) for path in folder.glob("*/config.yaml"))
    if len(lacking) == len(NEEDED) and versions:
        raise FileNotFoundError(f"'{folder}' holds several runs: give one of {', '.join(versions)}")
    if not lacking and "validate" not in read_measures(folder):
        lacking = ["the measures of an analysis"]
    if lacking:
        raise FileNotFoundError(
            f"'{folder}' is no finished run, it lacks {' and '.join(lacking)}: let its analysis come to its end, e.g. "
            f"python train.py validate --config {folder}/config.yaml --ckpt_path {folder}/checkpoints/last.ckpt, which "
            "opens a run of its own to compare"
        )


def _read(folder: Path, settings: dict[str, Any], name: str) -> Run:
    measures = read_measures(folder)
    table = pq.read_table(folder / "bmus.parquet", filters=pc.field("split") == "val")
    found = set(table["depth"].unique().to_pylist())
    if not found:
        raise ValueError(f"'{folder}' has no validation images in its bmus.parquet: analyse it with some")
    # The table is sorted by name, the measures by depth.
    orders = [list(each) for each in measures["validate"].values() if isinstance(each, dict) and set(each) == found]
    depths = tuple(orders[0] if orders else sorted(found))
    try:
        lattice = Lattice(*(settings[f"model.{key}"] for key in ("rows", "cols", "topology")))
    except KeyError as error:
        raise ValueError(f"the config.yaml of '{folder}' does not set {error.args[0]}: is it a run's own?") from None
    listed = pq.read_table(folder / "images.parquet") if (folder / "images.parquet").exists() else None
    classes = _classes(listed, int(pc.max(table["label"]).as_py()))
    return Run(
        name=name,
        folder=folder,
        settings=settings,
        depths=depths,
        lattice=lattice,
        classes=classes,
        hits={depth: _hits(table.filter(pc.field("depth") == depth), len(classes), lattice) for depth in depths},
        listings={} if listed is None else _listings(listed),
        measures=measures,
        losses=read_losses(folder),
    )


def _hits(table: pa.Table, classes: int, lattice: Lattice) -> np.ndarray:
    hits = np.zeros((classes, lattice.rows, lattice.cols), np.int64)
    np.add.at(hits, tuple(table[name].to_numpy() for name in ("label", "row", "col")), 1)
    return hits


def _classes(listed: pa.Table | None, last: int) -> tuple[str, ...]:
    """Names by label; a number where no image of a class was listed."""
    names: dict[int, str] = {}
    if listed is not None:
        pairs = listed.group_by(["label", "class"]).aggregate([])
        names = dict(zip(pairs["label"].to_pylist(), pairs["class"].to_pylist(), strict=True))
    return tuple(names.get(label, f"class {label}") for label in range(max([last, *names]) + 1))


def _listings(listed: pa.Table) -> dict[str, str]:
    """A digest of the images of each split."""
    digests = {}
    for split in sorted(listed["split"].unique().to_pylist()):
        images = listed.filter(pc.field("split") == split).sort_by("id").select(["id", "label", "path", "view"])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, images.schema) as stream:
            stream.write_table(images.combine_chunks())
        digests[split] = hashlib.sha256(sink.getvalue()).hexdigest()
    return digests


def _settings(path: Path) -> dict[str, Any]:
    """The settings of a config by dotted key."""
    try:
        found = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"'{path}' is broken ({reason}): put a whole copy there, or leave the run out") from error
    if not isinstance(found, dict):
        raise ValueError(f"'{path}' holds no settings by name: put the run's own there, or leave the run out")
    return _flat(found)


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _names(folders: Sequence[Path], configs: Sequence[dict[str, Any]]) -> list[str]:
    """The shortest names that differ: the backbone, with its weights, or the end of the folder."""
    backbones = [str(config.get("model.backbone", "")) for config in configs]
    weights = [str(config.get("model.weights", "")) for config in configs]
    longest = max(len(folder.parts) for folder in folders)
    for names in (
        backbones,
        [f"{one}, weights {Path(other).name}" for one, other in zip(backbones, weights, strict=True)],
        *(["/".join(folder.parts[-count:]) for folder in folders] for count in range(2, longest + 1)),
    ):
        if len(set(names)) == len(names) and all(names):
            return list(names)
    return [str(folder.resolve()) for folder in folders]

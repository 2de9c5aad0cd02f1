"""Whether two runs' maps agree, from what they left on disk: `python -m callbacks.seed_agreement RUN OTHER_RUN`.

For runs that differ in their seed, rule or training images, and not in what their codes are. Each run's folder holds
maps.safetensors of a fit and bmus.parquet of the analysis that followed it.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from torch import Tensor

from callbacks.report import table
from measures import map_agreement

__all__ = ["seed_agreement"]

SAME = ("rows", "cols", "topology", "depths", "distance", "statistics", "backbone_digest")  # else there is no one space
COLUMNS = {"images": "images", "distance": "distance", "chance_distance": "by chance", "information": "AMI"}


def seed_agreement(first: Path, second: Path) -> dict[str, dict[str, float]]:
    """Compare the maps of two runs, and where the validation images that both analysed land on them.

    Args:
        first: a run's folder; its maps are moved to match.
        second: another's.

    Returns:
        {quantity: {depth: value}}: "images", "distance" and "chance_distance" (lattice steps), and "information"; see
        `measures.Agreement`.

    Raises:
        FileNotFoundError: if a folder lacks the maps or the BMUs.
        ValueError: if the maps are not of the same codes on the same lattice, or no image is in both.
    """
    runs = [_read_maps(folder) for folder in (first, second)]
    differing = [key for key in SAME if runs[0][1].get(key) != runs[1][1].get(key)]
    if differing:
        values = "; ".join(f"{key} is {runs[0][1].get(key)} and {runs[1][1].get(key)}" for key in differing)
        raise ValueError(f"the runs '{first}' and '{second}' have no maps to align: {values}")
    about = runs[0][1]
    rows, cols = int(about["rows"]), int(about["cols"])
    topology: Literal["torus", "plane"] = "plane" if about["topology"] == "plane" else "torus"
    tables = [_read_bmus(folder, cols) for folder in (first, second)]
    found: dict[str, dict[str, float]] = {name: {} for name in COLUMNS}
    for depth in about["depths"].split(","):
        ours, theirs = (each[depth] for each in tables)
        both = sorted(ours.keys() & theirs.keys())
        if not both:
            raise ValueError(f"the runs '{first}' and '{second}' analysed no image in common")
        moving, reference = _in_one_space([run[0] for run in runs], depth, about["distance"])
        moving_bmu, reference_bmu = (torch.tensor([units[image] for image in both]) for units in (ours, theirs))
        agreement = map_agreement(moving, reference, moving_bmu, reference_bmu, rows, cols, topology)
        found["images"][depth] = len(both)
        found["distance"][depth] = agreement.distance
        found["chance_distance"][depth] = agreement.chance_distance
        found["information"][depth] = agreement.adjusted_mutual_information
    return found


def main(words: list[str] | None = None) -> int:
    """Print the agreement of two runs; a user's mistake is told in one line, with exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m callbacks.seed_agreement", description=__doc__)
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN", help="the folder of a run")
    first, second = parser.parse_args(words).runs
    try:
        found = seed_agreement(first, second)
    except (ValueError, OSError) as error:
        print(f"seed_agreement: error: {error}", file=sys.stderr)
        return 1
    rows = [[depth, *(f"{found[name][depth]:.3g}" for name in COLUMNS)] for depth in found["images"]]
    print("BMUs of the same images on both maps, after alignment: distance in lattice steps, beside that by chance;")
    print("AMI: adjusted mutual information of the units (0 by chance, 1 = equal)")
    print(table(["depth", *COLUMNS.values()], rows))
    return 0


def _read_maps(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    path = folder / "maps.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is missing: give the folder of a run that fit its maps")
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def _read_bmus(folder: Path, cols: int) -> dict[str, dict[Any, int]]:
    """{depth: {image: unit}} of the validation images."""
    path = folder / "bmus.parquet"
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is missing: run the fit with the stage 'analyse'")
    columns = pq.read_table(path, filters=[("split", "==", "val")]).to_pydict()
    units: dict[str, dict[Any, int]] = {}
    for depth, image, row, col in zip(*(columns[name] for name in ("depth", "id", "row", "col")), strict=True):
        units.setdefault(depth, {})[image] = row * cols + col
    return units


def _in_one_space(maps: list[dict[str, Tensor]], depth: str, distance: str) -> tuple[Tensor, Tensor]:
    """The prototypes of both, standardised as the second's are. Those of length 1 are compared as they are."""
    moving, reference = (tensors[f"{depth}/prototypes"].double() for tensors in maps)
    if f"{depth}/mean" not in maps[0] or distance == "cosine":
        return moving, reference
    (mean, std), (other_mean, other_std) = ((tensors[f"{depth}/mean"], tensors[f"{depth}/std"]) for tensors in maps)
    return (moving * std + mean - other_mean) / other_std, reference


if __name__ == "__main__":
    sys.exit(main())

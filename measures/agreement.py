"""Whether two maps of the same codes tell the same: fits with other seeds, rules or images.

Two fits differ by a shift and flips that mean nothing, so the moving map is aligned to the reference first
(som/alignment.py). Then the BMUs of the same images compare: how far apart they lie, beside the distance of the BMUs of
two images drawn at random, and how much one map's BMU tells of the other's, which needs no alignment.
"""

from dataclasses import dataclass

import torch
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor

from measures.pairs import pair_distances
from som.alignment import Alignment, align_maps
from som.checks import check_units
from som.lattice import Lattice, Topology


@dataclass(frozen=True)
class Agreement:
    """How two maps agree on the same images.

    Args:
        alignment: how the moving map's units move.
        distance: mean distance between the BMUs of an image on both, in lattice steps; lower = more alike, 0 = equal.
        chance_distance: mean distance between the BMUs of one image and of another, on the aligned maps.
        adjusted_mutual_information: of the units as two partitions of the images (Vinh, Epps and Bailey 2010); higher =
            more alike, 0 on average by chance, to 1. Finer than the distance: images at neighbouring units count as
            apart.
    """

    alignment: Alignment
    distance: float
    chance_distance: float
    adjusted_mutual_information: float


def map_agreement(
    moving: Tensor,
    reference: Tensor,
    moving_bmu: Tensor,
    reference_bmu: Tensor,
    rows: int,
    cols: int,
    topology: Topology = "torus",
) -> Agreement:
    """Align two maps and compare where the same images land.

    Args:
        moving: (K, D) prototypes of one map, finite.
        reference: (K, D) prototypes of the other, in the same space.
        moving_bmu: (N,) int64 BMUs of images on the one.
        reference_bmu: (N,) int64 BMUs of the same images on the other, N >= 1.
        rows: rows of the lattice of both.
        cols: its columns.
        topology: ``"torus"`` or ``"plane"``.

    Returns:
        Their agreement.

    Raises:
        ValueError: if the maps are not of one lattice and space, the BMUs do not pair up, or one is out of range.

    Example:
        >>> reference = torch.tensor([[0.0], [1.0], [5.0], [2.0]])
        >>> bmu = torch.tensor([0, 0, 1, 2, 3, 3])
        >>> found = map_agreement(reference.roll(1, 0), reference, (bmu + 1) % 4, bmu, rows=1, cols=4)
        >>> found.alignment.shift, found.distance, round(found.chance_distance, 3)
        ((0, 3), 0.0, 0.944)
    """
    if moving_bmu.shape != reference_bmu.shape or moving_bmu.ndim != 1 or not len(moving_bmu):
        raise ValueError(
            f"BMUs must be (N,) of the same images on both maps; got shapes {tuple(moving_bmu.shape)} and "
            f"{tuple(reference_bmu.shape)}"
        )
    lattice = Lattice(rows, cols, topology)
    for bmu in (moving_bmu, reference_bmu):
        check_units(bmu, lattice)
    alignment = align_maps(moving, reference, lattice)
    moved = alignment.units(moving_bmu)
    hits = torch.stack([bmu.bincount(minlength=lattice.units) for bmu in (moved, reference_bmu)])
    information = adjusted_mutual_info_score(moved.cpu().numpy(), reference_bmu.cpu().numpy())
    return Agreement(
        alignment,
        distance=float(lattice.distance(moved, reference_bmu).double().mean()),
        chance_distance=float(pair_distances(hits, lattice).between),
        adjusted_mutual_information=float(information),
    )

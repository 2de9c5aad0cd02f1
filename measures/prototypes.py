"""How far apart the prototypes of two maps point, unit by unit, once one is laid onto the other.

A map's fit knows no direction and a torus no origin, so unit k of one map means nothing on another before they are
aligned (som/alignment.py). The paper (arXiv 2205.10952) compares the weights of maps of different depths; that is
possible only where their codes have equal dimensions, and means something only where dimension i is the same thing in
both, as between runs, seeds, or blocks with a skip connection.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from som.alignment import Alignment, align_maps
from som.lattice import Lattice


@dataclass(frozen=True)
class PrototypeDistance:
    """Cosine distance between the prototypes of two aligned maps.

    Args:
        by_unit: (K,) float64, 1 - cos from 0 (same direction) over 1 (none) to 2 (opposite), at the reference's units;
            1 where either prototype is 0.
        mean: their mean; lower = more alike.
        chance: mean over all pairs of units, what maps laid on one another blindly read; above ``mean`` the alignment
            tells something.
        alignment: how the moving map was laid onto the reference.
    """

    by_unit: Tensor
    mean: float
    chance: float
    alignment: Alignment


@torch.no_grad()
def prototype_distance(moving: Tensor, reference: Tensor, lattice: Lattice) -> PrototypeDistance:
    """Align two maps and take the cosine distance of corresponding prototypes.

    Prototypes are scaled to length 1 first, so that the alignment minimises the mean cosine distance itself. Of maps
    that standardise, cosines are about the mean code; of others about 0, where a shared offset makes all alike.

    Args:
        moving: (K, D) prototypes, finite.
        reference: (K, D) prototypes of equal dimensions, finite.
        lattice: the lattice of both.

    Returns:
        The distances; the mean is at most that of any other alignment.

    Raises:
        ValueError: if either is not (K, D) or not finite, or their D differ.

    Example:
        >>> reference = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
        >>> found = prototype_distance(2 * reference.roll(1, 0), reference, Lattice(1, 4))
        >>> found.mean, found.chance, found.alignment.shift
        (0.0, 1.0, (0, 3))
    """
    ours, theirs = (functional.normalize(each.double(), dim=1) for each in (moving, reference))
    alignment = align_maps(ours, theirs, lattice)
    by_unit = 1 - (alignment.field(ours) * theirs).sum(1)
    return PrototypeDistance(by_unit, float(by_unit.mean()), float(1 - ours.mean(0) @ theirs.mean(0)), alignment)


def prototype_similarity(maps: Mapping[str, Tensor], lattice: Lattice) -> dict[str, dict[str, float]]:
    """Compare the maps of different depths, each with each, where their codes have equal dimensions.

    Args:
        maps: by depth, (K, D) prototypes; D may differ from depth to depth.
        lattice: the lattice of all.

    Returns:
        For each depth whose D another has, ``prototype_distance_<depth>`` and
        ``prototype_distance_<depth>_null_mean``, {other depth: mean, chance} of :func:`prototype_distance`; 0 of a
        depth with itself, NaN where the dimensions differ. Empty if no two depths have equal dimensions.

    Raises:
        ValueError: if prototypes are not (K, D), or not finite.

    Example:
        >>> maps = {"CL1": torch.eye(4), "CL2": 2 * torch.eye(4).roll(1, 0), "CL3": torch.ones(4, 5)}
        >>> found = prototype_similarity(maps, Lattice(1, 4))
        >>> found["prototype_distance_CL1"], found["prototype_distance_CL1_null_mean"]["CL2"]
        ({'CL1': 0.0, 'CL2': 0.0, 'CL3': nan}, 0.75)
    """
    sizes = [prototypes.shape[1] for prototypes in maps.values()]
    compared = [depth for depth, prototypes in maps.items() if sizes.count(prototypes.shape[1]) > 1]
    found: dict[str, dict[str, float]] = {}
    for depth in compared:
        found[f"prototype_distance_{depth}"] = dict.fromkeys(maps, math.nan)
        found[f"prototype_distance_{depth}_null_mean"] = dict.fromkeys(maps, math.nan)
    for number, one in enumerate(compared):
        for other in compared[number:]:
            if maps[one].shape != maps[other].shape:
                continue
            distance = prototype_distance(maps[one], maps[other], lattice)
            for depth, beside in ((one, other), (other, one)):
                found[f"prototype_distance_{depth}"][beside] = distance.mean
                found[f"prototype_distance_{depth}_null_mean"][beside] = distance.chance
    return found

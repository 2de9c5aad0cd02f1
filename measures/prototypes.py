"""How far apart the prototypes of two maps point, unit by unit, once one is laid onto the other.

A map's fit knows no direction and a torus no origin, so unit k of one map means nothing on another before they are
aligned (som/alignment.py). The paper (arXiv 2205.10952) compares the weights of maps of different depths; that is
possible only where their codes have equal dimensions, and means something only where dimension i is the same thing in
both, as between runs, seeds, or blocks with a skip connection.
"""

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

"""The unfolded map: nine copies of a torus side by side, 3 x 3, on which a class is drawn in one piece.

The paper (arXiv 2205.10952, Fig. 2) takes distances on it. Here each class has its center in the middle copy, and each
of its samples is drawn in the copy nearest to the center, so that straight lines on paper are torus distances and a
class across a seam stays together.
"""

import torch
from torch import Tensor

from som.checks import check_units
from som.lattice import Lattice


def unfold(bmu: Tensor, center: Tensor, lattice: Lattice) -> Tensor:
    """Place units on the unfolded 3 x 3 map, each in the copy nearest to a center.

    Args:
        bmu: (N,) int64 units.
        center: (2,) or (N, 2) row and column of the center on the original map, such as that of each sample's class,
            ``class_centers(hits, lattice).center[label]``.
        lattice: the map's lattice.

    Returns:
        (N, 2) float64 row and column, in [0, 3 rows) x [0, 3 cols), the original map in the middle, from (rows, cols)
        on; the center itself belongs at ``center + (rows, cols)``. Half-way round, the copy before the center. NaN
        where the center is. On a plane every unit is in the middle.

    Raises:
        ValueError: if a unit is outside the lattice.

    Example:
        >>> unfold(torch.tensor([0, 5]), torch.tensor([0.0, 5.5]), Lattice(1, 6))
        tensor([[ 1., 12.],
                [ 1., 11.]], dtype=torch.float64)
    """
    check_units(bmu, lattice)
    sides = torch.tensor([lattice.rows, lattice.cols], dtype=torch.float64, device=bmu.device)
    place = lattice.coordinates(bmu).double()
    center = center.double().expand_as(place)
    if lattice.topology == "torus":
        place = center + torch.remainder(place - center + sides / 2, sides) - sides / 2
    return torch.where(center.isnan(), torch.nan, place.round() + sides)

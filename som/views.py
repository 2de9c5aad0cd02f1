"""Views of a map: fields over the lattice, (rows, cols), to draw or to count on.

The U-matrix shows how far apart neighbouring prototypes lie (Ultsch and Siemon 1990), the hit map how many samples each
unit takes, a component plane one dimension of the prototypes. On a torus the first and last row, and the first and last
column, are neighbours too.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from som.checks import check_prototypes, check_units
from som.lattice import Lattice
from som.search import distances


def u_matrix(prototypes: Tensor, lattice: Lattice) -> Tensor:
    """Mean distance of each unit's prototype to those of its neighbours; valleys are clusters, ridges part them.

    Neighbours are :meth:`som.lattice.Lattice.neighbours`: the 8 surrounding units, across the seams of a torus, fewer
    at the edges of a plane. Ultsch and Siemon, Kohonen's self organizing feature maps for exploratory data analysis
    (INNC 1990); theirs also draws the single distances between the units.

    Args:
        prototypes: (K, D).
        lattice: the map's lattice.

    Returns:
        (rows, cols) float32, in the units of the prototypes; 0 for a map of one unit. No gradients pass.

    Raises:
        ValueError: if the prototypes are not (K, D).

    Example:
        >>> u_matrix(torch.tensor([[0.0], [0.0], [6.0], [6.0]]), Lattice(1, 4, "plane"))
        tensor([[0., 3., 3., 0.]])
    """
    check_prototypes(prototypes, lattice)
    prototypes = prototypes.detach().float()
    neighbours = lattice.neighbours(prototypes.device)
    # An absent neighbour is the unit itself: it adds a distance of 0 and is not counted.
    steps = (distances(prototypes, prototypes, units) for units in neighbours.unbind(1))
    total = sum(steps, start=prototypes.new_zeros(lattice.units))
    present = neighbours != torch.arange(lattice.units, device=neighbours.device)[:, None]
    return (total / present.sum(1).clamp(min=1)).view(lattice.rows, lattice.cols)


def hit_map(bmu: Tensor, lattice: Lattice) -> Tensor:
    """Count the samples at each unit.

    Args:
        bmu: (N,) int64 units in [0, K).
        lattice: the map's lattice.

    Returns:
        (rows, cols) int64.

    Raises:
        ValueError: if a unit is outside the lattice.

    Example:
        >>> hit_map(torch.tensor([0, 5, 5]), Lattice(2, 3))
        tensor([[1, 0, 0],
                [0, 0, 2]])
    """
    check_units(bmu, lattice)
    return torch.bincount(bmu, minlength=lattice.units).view(lattice.rows, lattice.cols)


def component_planes(prototypes: Tensor, lattice: Lattice, dimensions: Sequence[int] | Tensor | None = None) -> Tensor:
    """Lay single dimensions of the prototypes out on the lattice.

    Args:
        prototypes: (K, D).
        lattice: the map's lattice.
        dimensions: n numbers in [0, D); all of them, in order, if None.

    Returns:
        (n, rows, cols), of the prototypes' type and in their units; a view of the prototypes if ``dimensions`` is None.

    Raises:
        ValueError: if the prototypes are not (K, D) or a dimension is outside [0, D).

    Example:
        >>> component_planes(torch.tensor([[1.0, 5.0], [2.0, 6.0]]), Lattice(1, 2), [1])
        tensor([[[5., 6.]]])
    """
    check_prototypes(prototypes, lattice)
    planes = prototypes.T
    if dimensions is not None:
        chosen = torch.as_tensor(dimensions, dtype=torch.int64)
        outside = chosen[(chosen < 0) | (chosen >= len(planes))]
        if len(outside):
            raise ValueError(f"dimension {int(outside[0])} is outside [0, {len(planes)}), those of the prototypes")
        planes = planes[chosen.to(planes.device)]
    return planes.unflatten(1, (lattice.rows, lattice.cols))

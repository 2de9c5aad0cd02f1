"""How far samples lie from the center of their class, and class centers from one another, in lattice steps.

Distances are Euclidean on the lattice, on a torus across the seams, to points that need not be units. A class's center
is fitted to its samples, so even BMUs that know nothing of the class lie nearer to it the fewer they are: 12.0, 13.8,
14.6 and 15.0 steps at 10, 50, 200 and 1,300 samples on 40 x 40, towards 0.3826 of a side. Compare at equal numbers of
samples only, or beside :func:`uniform_center_distance`.
"""

import torch
from torch import Tensor

from measures.centers import check_hits, class_centers
from measures.nulls import uniform_hits
from measures.occupancy import Hits
from som.lattice import Lattice, Topology

POINTS = 2**17  # distances in memory at a time: few enough to stay in cache


def distances_to_centers(hits: Tensor, centers: Tensor, lattice: Lattice) -> Tensor:
    """Mean distance of each class's samples to its center; lower is more compact, 0 = all on one unit.

    Args:
        hits: (C, K) counts by class and unit.
        centers: (C, 2) row and column, such as ``class_centers(hits, lattice).center``.
        lattice: the map's lattice.

    Returns:
        (C,) float64, in lattice steps; NaN for a class without samples.

    Raises:
        ValueError: if the counts are not (C, K), or there is not one center a class.

    Example:
        >>> hits = torch.tensor([[1, 0, 0, 0, 0, 1]])
        >>> distances_to_centers(hits, class_centers(hits, Lattice(1, 6)).center, Lattice(1, 6))
        tensor([0.5000], dtype=torch.float64)
    """
    grid = check_hits(hits, lattice)
    if centers.shape != (len(hits), 2):
        raise ValueError(f"centers must be ({len(hits)}, 2), one a class; got shape {tuple(centers.shape)}")
    row, col = (
        axis_steps(torch.arange(length, device=hits.device), center[:, None], length, lattice.topology).square()
        for length, center in zip((lattice.rows, lattice.cols), centers.unbind(1), strict=True)
    )
    sums = [
        (part * (rows[:, :, None] + cols[:, None]).sqrt()).sum((1, 2))
        for part, rows, cols in zip(*(x.split(max(1, POINTS // lattice.units)) for x in (grid, row, col)), strict=True)
    ]
    return torch.cat(sums) / grid.sum((1, 2))


def distances_between_centers(centers: Tensor, lattice: Lattice) -> Tensor:
    """Distance between any two centers; neither direction is better.

    Args:
        centers: (C, 2) row and column.
        lattice: the map's lattice.

    Returns:
        (C, C) float64, in lattice steps: symmetric, 0 on the diagonal; NaN where a center is.

    Example:
        >>> distances_between_centers(torch.tensor([[0.0, 0.5], [0.0, 5.0]]), Lattice(1, 6))
        tensor([[0.0000, 1.5000],
                [1.5000, 0.0000]], dtype=torch.float64)
    """
    row, col = centers.double().unbind(1)
    return torch.hypot(
        axis_steps(row, row[:, None], lattice.rows, lattice.topology),
        axis_steps(col, col[:, None], lattice.cols, lattice.topology),
    )


def uniform_center_distance(samples: int, lattice: Lattice, draws: int = 200, seed: int = 0) -> Tensor:
    """Mean distance to the fitted center of that many samples thrown on the map at random: what no class looks like.

    Args:
        samples: samples of a class.
        lattice: the map's lattice.
        draws: classes to draw; more make it more certain.
        seed: of the draws.

    Returns:
        Scalar float64, in lattice steps; NaN for no samples.
    """
    generator = torch.Generator().manual_seed(seed)
    hits = uniform_hits(torch.full((draws,), samples), lattice.units, generator)
    return mean_center_distance(hits, lattice)


def mean_center_distance(hits: Tensor, lattice: Lattice) -> Tensor:
    """Mean over classes of the mean distance to the intrinsic center; lower = compact classes.

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.

    Returns:
        Scalar float64, in lattice steps; classes without samples do not count, and NaN if none has any.
    """
    return distances_to_centers(hits, class_centers(hits, lattice).center, lattice).nanmean()


class CenterDistance(Hits):
    """Mean distance of samples to the intrinsic center of their class; see :func:`mean_center_distance`.

    Lower is more compact. It grows with the samples of a class, so compare it at equal numbers only.

    Args:
        rows: rows of the lattice.
        cols: columns of the lattice.
        num_classes: number of classes.
        topology: ``"torus"`` or ``"plane"``.

    Example:
        >>> metric = CenterDistance(rows=1, cols=6, num_classes=2)
        >>> metric.update(bmu=torch.tensor([0, 5, 3, 3]), label=torch.tensor([0, 0, 1, 1]))
        >>> metric.compute()
        tensor(0.2500)
    """

    higher_is_better = False

    def __init__(self, rows: int, cols: int, num_classes: int, topology: Topology = "torus") -> None:
        lattice = Lattice(rows, cols, topology)
        super().__init__(lattice.units, num_classes)
        self.lattice = lattice

    def compute(self) -> Tensor:
        """The mean over classes: scalar float32; NaN for no samples."""
        return mean_center_distance(self.hits, self.lattice).float()


def axis_steps(a: Tensor, b: Tensor, length: int, topology: Topology) -> Tensor:
    """Distances along an axis of a length between positions that need not be units; float64."""
    steps = (a - b).abs().double()
    return torch.minimum(steps, length - steps) if topology == "torus" else steps

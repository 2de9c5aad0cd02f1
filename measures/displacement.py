"""How far samples move on the map when their input changes.

The displacement of a sample is the lattice distance, on a torus across the seams, between its BMUs (B,) before and
after a change; a mean of them is in lattice steps.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from som.lattice import Lattice, Topology


def map_displacement(before: Tensor, after: Tensor, lattice: Lattice) -> Tensor:
    """Mean lattice distance between paired BMUs; 0 = no sample changed its unit. Neither direction is better.

    Args:
        before: (N,) int64 BMUs.
        after: (N,) int64 BMUs of the same samples, in the same order.
        lattice: the map's lattice.

    Returns:
        Scalar float32, in lattice steps; NaN for no samples.
    """
    return lattice.distance(before, after).mean(dtype=torch.float64).float()


class MapDisplacement(Metric):
    """Mean lattice distance between paired BMUs, in lattice steps.

    0 = no sample changed its unit. Neither direction is better: it describes a change, such as an attack.

    Args:
        rows: rows of the lattice.
        cols: columns of the lattice.
        topology: ``"torus"`` or ``"plane"``.

    Raises:
        ValueError: if a side is below 1 or the topology is unknown.

    Example:
        >>> metric = MapDisplacement(rows=3, cols=4)
        >>> metric.update(before=torch.tensor([0, 0]), after=torch.tensor([0, 3]))  # 3 is next to 0, across the seam
        >>> metric.compute()
        tensor(0.5000)
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    displacement_sum: Tensor
    displacement_count: Tensor

    def __init__(self, rows: int, cols: int, topology: Topology = "torus") -> None:
        super().__init__()
        self.lattice = Lattice(rows, cols, topology)
        self.add_state("displacement_sum", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("displacement_count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, before: Tensor, after: Tensor) -> None:
        """Add pairs of BMUs.

        Args:
            before: (B,) int64 BMUs.
            after: (B,) int64 BMUs of the same samples, in the same order.

        Raises:
            ValueError: if the shapes differ.
        """
        if before.shape != after.shape:
            raise ValueError(
                f"before and after must pair up; got shapes {tuple(before.shape)} and {tuple(after.shape)}"
            )
        self.displacement_sum += self.lattice.distance(before, after).sum(dtype=torch.float64)
        self.displacement_count += before.numel()

    def compute(self) -> Tensor:
        """Mean displacement: scalar float32, NaN for no samples."""
        return (self.displacement_sum / self.displacement_count).float()

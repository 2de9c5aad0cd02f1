"""How well a map fits its codes: quantisation error and topographic error.

Kohonen, Self-Organizing Maps (3rd ed., 2001): the quantisation error is mean_x |x - w_bmu(x)|; Kiviluoto (1996): the
topographic error is the share of samples whose two nearest units are not adjacent on the lattice. Inputs are (B,):
BMUs, second units and BMU distances, as the map's search returns them.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from som.lattice import Lattice, Topology


def quantisation_error(distance: Tensor) -> Tensor:
    """Mean distance of the samples to their BMUs; lower is better, 0 = every sample is a prototype.

    Args:
        distance: (N,) distances to the BMU, not squared.

    Returns:
        Scalar float32; NaN for no samples.
    """
    return distance.mean(dtype=torch.float64).float()


def topographic_error(bmu: Tensor, second: Tensor, lattice: Lattice) -> Tensor:
    """Share of samples whose two nearest units are not adjacent; lower is better, from 0 to 1.

    Adjacent is :meth:`som.lattice.Lattice.are_neighbours`: the 8 surrounding units, across the seams of a torus, and
    the unit itself, so that a map of one unit has no error.

    Args:
        bmu: (N,) int64 nearest units.
        second: (N,) int64 second nearest units.
        lattice: the map's lattice.

    Returns:
        Scalar float32; NaN for no samples.
    """
    return (~lattice.are_neighbours(bmu, second)).double().mean().float()


class QuantisationError(Metric):
    """Mean distance of samples to their BMUs, in the units of the map's space.

    Lower is better, 0 = every sample is a prototype. It falls as the neighbourhood shrinks and scales with the codes,
    so it compares neither epochs of one fit nor depths of a network.

    Example:
        >>> metric = QuantisationError()
        >>> metric.update(distance=torch.tensor([1.0, 2.0, 6.0]))
        >>> metric.compute()
        tensor(3.)
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    # Each family of metrics names its states apart: a MetricCollection merges metrics of equal state names and values.
    distance_sum: Tensor
    distance_count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("distance_sum", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("distance_count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, distance: Tensor) -> None:
        """Add distances.

        Args:
            distance: (B,) distances to the BMU.
        """
        self.distance_sum += distance.detach().sum(dtype=torch.float64)
        self.distance_count += distance.numel()

    def compute(self) -> Tensor:
        """Mean distance: scalar float32, NaN for no samples."""
        return (self.distance_sum / self.distance_count).float()


class TopographicError(Metric):
    """Share of samples whose two nearest units are not adjacent on the lattice.

    Lower is better, 0 = neighbours in code space are neighbours on the map. See :func:`topographic_error`.

    Args:
        rows: rows of the lattice.
        cols: columns of the lattice.
        topology: ``"torus"`` or ``"plane"``.

    Raises:
        ValueError: if a side is below 1 or the topology is unknown.

    Example:
        >>> metric = TopographicError(rows=3, cols=4)
        >>> metric.update(bmu=torch.tensor([0, 0, 0]), second=torch.tensor([1, 11, 2]))  # beside, across seams, apart
        >>> metric.compute()
        tensor(0.3333)
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    topographic_errors: Tensor
    topographic_count: Tensor

    def __init__(self, rows: int, cols: int, topology: Topology = "torus") -> None:
        super().__init__()
        self.lattice = Lattice(rows, cols, topology)
        self.add_state("topographic_errors", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("topographic_count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, bmu: Tensor, second: Tensor) -> None:
        """Add pairs of nearest units.

        Args:
            bmu: (B,) int64 nearest units.
            second: (B,) int64 second nearest units.
        """
        self.topographic_errors += (~self.lattice.are_neighbours(bmu, second)).sum()
        self.topographic_count += bmu.numel()

    def compute(self) -> Tensor:
        """Share of errors: scalar float32, NaN for no samples."""
        return (self.topographic_errors.double() / self.topographic_count).float()

"""The lattice: where each unit of a map sits, and how far apart two units are.

K = rows x cols units are numbered ``k = row * cols + col``. Distances are Euclidean on the rectangular grid; on a
torus each axis takes its minimum image ``min(|d|, L - |d|)``, which equals the minimum over the nine shifted copies of
the map. No K x K table is ever made: pairs are measured on demand, and what is separable uses one small table per axis.
"""

from dataclasses import dataclass
from itertools import product
from numbers import Integral
from typing import Literal, get_args

import torch
from torch import Tensor

Topology = Literal["torus", "plane"]


@dataclass(frozen=True)
class Lattice:
    """A rectangular grid of units, with or without seams.

    Args:
        rows: number of rows, at least 1.
        cols: number of columns, at least 1.
        topology: ``"torus"`` joins opposite edges, ``"plane"`` does not.

    Raises:
        ValueError: if a side is below 1 or the topology is unknown.

    Example:
        >>> lattice = Lattice(3, 4)
        >>> lattice.units
        12
        >>> lattice.coordinates(torch.tensor([0, 7, 11]))
        tensor([[0, 0],
                [1, 3],
                [2, 3]])
        >>> lattice.distance(torch.tensor(0), torch.tensor(11))  # one step across each seam
        tensor(1.4142)
    """

    rows: int
    cols: int
    topology: Topology = "torus"

    def __post_init__(self) -> None:
        for name, side in (("rows", self.rows), ("cols", self.cols)):
            if not isinstance(side, Integral) or side < 1:
                raise ValueError(f"a lattice needs a whole number of {name}, at least 1; got {name}={side!r}")
        if self.topology not in get_args(Topology):
            allowed = " or ".join(repr(name) for name in get_args(Topology))
            raise ValueError(f"topology {self.topology!r} is unknown; choose {allowed}")

    @property
    def units(self) -> int:
        """The number of units, K = rows x cols."""
        return self.rows * self.cols

    def coordinates(self, units: Tensor) -> Tensor:
        """Row and column of each unit.

        Args:
            units: (...) int64 unit numbers in [0, K); not checked, since that would wait for the device.

        Returns:
            (..., 2) int64, row first.
        """
        return torch.stack((units // self.cols, units % self.cols), dim=-1)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean distance on the lattice between paired units, in lattice steps.

        Args:
            a: (...) int64 unit numbers in [0, K).
            b: (...) int64 unit numbers in [0, K), of a shape that broadcasts against ``a``.

        Returns:
            (...) float32; 0 where the units are the same.
        """
        row, col = self._steps(a, b)
        return (row.square() + col.square()).float().sqrt()

    def are_neighbours(self, a: Tensor, b: Tensor) -> Tensor:
        """Whether paired units are at most one step apart along each axis: Chebyshev distance <= 1.

        So a unit has up to 8 neighbours (4 along the axes, 4 along the diagonals) and counts as its own. MiniSom takes
        the same 8 on a rectangular map but never wraps; definitions that take 4 read higher topographic errors.

        Args:
            a: (...) int64 unit numbers in [0, K).
            b: (...) int64 unit numbers in [0, K), of a shape that broadcasts against ``a``.

        Returns:
            (...) bool.
        """
        row, col = self._steps(a, b)
        return torch.maximum(row, col) <= 1

    def neighbours(self, device: torch.device | None = None) -> Tensor:
        """Neighbours of every unit: all but itself of what :meth:`are_neighbours` allows, each once.

        Args:
            device: where to make the table; the default device if None.

        Returns:
            (K, n) int64, n at most 8, and fewer where a torus is so narrow that two steps lead to one unit. Beyond the
            edges of a plane a unit stands for itself.

        Example:
            >>> Lattice(1, 4).neighbours()
            tensor([[1, 3],
                    [2, 0],
                    [3, 1],
                    [0, 2]])
        """
        steps = set(product((-1, 0, 1), repeat=2))
        if self.topology == "torus":
            steps = {(row % self.rows, col % self.cols) for row, col in steps}
        offsets = torch.tensor(sorted(steps - {(0, 0)}), dtype=torch.int64, device=device).view(-1, 2)
        units = torch.arange(self.units, device=device)[:, None]
        row, col = (self.coordinates(units) + offsets).unbind(-1)
        if self.topology == "torus":
            return row % self.rows * self.cols + col % self.cols
        inside = (row >= 0) & (row < self.rows) & (col >= 0) & (col < self.cols)
        return torch.where(inside, row * self.cols + col, units)

    def axis_distances(self, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Distances between any two rows, and between any two columns, in lattice steps.

        Args:
            device: where to make the tables; the default device if None.

        Returns:
            (rows, rows) and (cols, cols), float32.
        """
        row, col = torch.arange(self.rows, device=device), torch.arange(self.cols, device=device)
        return (
            self._axis_steps(row[:, None], row, self.rows).float(),
            self._axis_steps(col[:, None], col, self.cols).float(),
        )

    def _steps(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return (
            self._axis_steps(a // self.cols, b // self.cols, self.rows),
            self._axis_steps(a % self.cols, b % self.cols, self.cols),
        )

    def _axis_steps(self, a: Tensor, b: Tensor, length: int) -> Tensor:
        steps = (a - b).abs()
        return torch.minimum(steps, length - steps) if self.topology == "torus" else steps

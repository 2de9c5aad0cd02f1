"""Lower bounds on the scores of all units for a code, by which a search discards units that cannot win (som/index.py).

Each bound takes centred codes x (B, D) and their norms (B, 1), and returns a tile of lower bounds, one a code and unit,
and by how much rounding may have raised them (B, 1). The bounds differ in cost only, never in what is found:

- :class:`Dense`: the scores themselves, by one product of 2 K D FLOPs a code.
- :class:`Pruned`: the prototypes of a map lie near a subspace of few dimensions q (see som/subspace.py), which leaves
  v = A v + r with short r. The scores in the subspace less |x - A x| |r| are lower bounds (Cauchy-Schwarz), and cost
  2 q (D + K) FLOPs a code. While the neighbourhood is wide, r vanishes and the bounds are the scores; later a handful
  of units survive.
"""

import torch
from torch import Tensor

from som.index import Index
from som.precision import full_float32
from som.subspace import principal_coordinates
from som.tiles import ROWS

DIRECTIONS = 128  # of the subspace, at most: enough for a handful of survivors on a map of 40 x 40
FEWEST = 16  # directions; smaller maps and codes are searched faster whole


class Dense:
    """The scores themselves, by one float32 product."""

    exact = True

    def __init__(self, index: Index) -> None:
        self.index = index

    def __call__(self, codes: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and their largest error (B, 1), of centred codes (B, D) of these norms (B, 1)."""
        return self.index.scores(codes, norms)

    def give_up(self) -> None:
        """Nothing: scores leave few units."""


class Pruned:
    """Lower bounds from the subspace near which the prototypes lie."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.exact = False
        with full_float32(index.prototypes.device):
            inside, self.basis = principal_coordinates(index.centred, subspace_width(index.prototypes))
            parts = zip(index.centred.split(ROWS), inside.split(ROWS), strict=True)
            rest = [torch.linalg.vector_norm(torch.addmm(v, a, self.basis, alpha=-1), dim=1) for v, a in parts]
        # One more column: the product of the two rests is taken off by the same matrix product.
        self.coordinates = torch.cat((inside, torch.cat(rest)[:, None]), dim=1)

    def __call__(self, codes: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Lower bounds and their slack (B, 1), of centred codes (B, D) of these norms (B, 1)."""
        if self.exact:
            return self.index.scores(codes, norms)
        index, width = self.index, len(self.basis)
        coordinates = index.scratch("coordinates", len(codes), width + 1)
        torch.mm(codes, self.basis.T, out=coordinates[:, :width])
        inside = torch.linalg.vector_norm(coordinates[:, :width], dim=1, keepdim=True)
        # |x - A x|, rounded up; by square roots, since the squares of minute norms are 0.
        rest = (norms - inside).clamp_(min=0).add_(norms, alpha=2 * index.step).sqrt_()
        torch.mul(rest, (norms + inside).sqrt_(), out=coordinates[:, width:])
        tile = index.bounds(len(codes))
        torch.addmm(index.half_norms, coordinates, self.coordinates.T, alpha=-1, out=tile[:, : len(self.coordinates)])
        # The rounding of the product, and that of the basis and the rests.
        return tile, 2 * index.rounding(norms)

    def give_up(self) -> None:
        """Take the scores themselves from now on: these prototypes lie near no small subspace."""
        self.exact = True


def fast_bounds(index: Index, codes: int) -> Dense | Pruned:
    """The faster of the bounds for so many codes; the same ones on every machine."""
    units, dimensions = index.prototypes.shape
    width = subspace_width(index.prototypes)
    saved = codes * (units * dimensions - width * (units + dimensions))
    # Finding the subspace takes four products of all prototypes with it; twice that, since codes that keep several
    # units are scored again.
    pays = width >= FEWEST and saved > 8 * width * units * dimensions
    return Pruned(index) if pays else Dense(index)


def subspace_width(prototypes: Tensor) -> int:
    """Directions of the subspace that prototypes (K, D) are pruned by, at most."""
    return max(1, min(DIRECTIONS, *(side // 4 for side in prototypes.shape)))

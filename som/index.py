"""Prototypes made ready for search, and what every search has in common: bounds first, then only what survives.

A code x is ranked against prototype w_k by its score s_k = |w_k - m|^2 / 2 - (x - m)(w_k - m), which differs from
|x - w_k|^2 / 2 by a constant of the code. m is the mean prototype: without this centring, codes that share a large
offset lose their differences to float32 rounding.

A bound (see som/bounds.py) gives a lower bound of every score and a ceiling that the best scores do not exceed; units
whose lower bound is above the ceiling cannot win. What survives is scored again in float32, and where two scores are
closer than float32 rounding, measured in float64 from the differences. So every search finds the BMU of a dense
float64 search, whatever the bound, up to ties of float64.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

ROWS = 512  # codes at a time, fewer where the map is so large that their scores exceed
TILE = 2**24  # scores at a time
PAIRS = 4096  # differences in float64 at a time


class Nearest(NamedTuple):
    """The nearest units of each code, nearest first.

    Attributes:
        units: (B, n) int64; ties go to the lower number.
        rescored: how many of the codes were decided in float64.
    """

    units: Tensor
    rescored: int


class Index:
    """Prototypes (K, D), centred, with their norms. Make a new one when the prototypes change.

    Args:
        prototypes: (K, D), kept, not copied.
        centred: whether codes and prototypes come centred already; saves the centred copy.
    """

    def __init__(self, prototypes: Tensor, *, centred: bool = False) -> None:
        self.prototypes = prototypes.detach().float()
        self.mean = None if centred else self.prototypes.mean(0)
        self.centred = self.prototypes if self.mean is None else self.prototypes - self.mean
        self.norms = torch.linalg.vector_norm(self.centred, dim=1)
        self.half_norms = self.norms.square() / 2
        self._scratch: dict[str, Tensor] = {}

    def scratch(self, name: str, rows: int, columns: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A (rows, columns) tile of memory to write to, kept for the next call: fresh pages cost more than the sums."""
        tile = self._scratch.get(name)
        if tile is None or len(tile) < rows:
            tile = self._scratch[name] = torch.empty(rows, columns, dtype=dtype, device=self.prototypes.device)
        return tile[:rows]

    def rounding(self, codes: Tensor) -> Tensor:
        """(B, 1) float32 bound of the rounding error of a float32 score of centred codes (B, D).

        The error of a float32 sum of D products grows like the square root of D; 4 is a margin on it. Products too
        small for float32 are lost whole.
        """
        limits, dimensions = torch.finfo(torch.float32), codes.shape[1]
        step = 4 * limits.eps * max(dimensions, 16) ** 0.5
        largest = self.norms.max()
        lengths = torch.linalg.vector_norm(codes, dim=1, keepdim=True)
        return step * largest * (lengths + largest) + dimensions * limits.tiny


Bounds = Callable[[Tensor, int], tuple[Tensor, Tensor]]  # centred codes, n -> lower bounds (B, K), ceiling (B, 1)


@torch.no_grad()
def find_nearest(codes: Tensor, index: Index, bounds: Bounds, count: int = 1) -> Nearest:
    """Find the nearest units of each code. Runs in float32 whatever autocast says.

    Args:
        codes: (B, D), finite, on the device of the prototypes.
        index: the prototypes.
        bounds: how the units that can win are found.
        count: how many units, 1 to K.

    Returns:
        The nearest units and how many codes were rescored.
    """
    size = max(64, min(ROWS, TILE // len(index.prototypes)))
    with torch.autocast(codes.device.type, enabled=False):
        found = [_search(part.float(), index, bounds, count) for part in codes.split(size)]
    return Nearest(torch.cat([part.units for part in found]), sum(part.rescored for part in found))


def _search(codes: Tensor, index: Index, bounds: Bounds, count: int) -> Nearest:
    if len(codes) == 0:
        return Nearest(torch.zeros(0, count, dtype=torch.int64, device=codes.device), 0)
    centred = codes
    if index.mean is not None:
        centred = torch.sub(codes, index.mean, out=index.scratch("centred", *codes.shape))
    lower, ceiling = bounds(centred, count)
    rows, units = (lower <= ceiling).nonzero(as_tuple=True)
    if len(rows) == len(codes) and count == 1:
        return Nearest(units[:, None], 0)
    return _settle(codes, centred, index, rows, units, count)


def _settle(codes: Tensor, centred: Tensor, index: Index, rows: Tensor, units: Tensor, count: int) -> Nearest:
    """Rank the surviving (code, unit) pairs, ordered by code and unit, of which each code has at least ``count``."""
    scores = index.half_norms[units] - products(centred, index.centred, rows, units)
    per_code = torch.bincount(rows, minlength=len(codes))
    place = torch.arange(len(rows), device=rows.device) - (per_code.cumsum(0) - per_code)[rows]
    width = int(per_code.max())
    table = scores.new_full((len(codes), width), torch.inf)
    table[rows, place] = scores
    names = units.new_zeros(len(codes), width)
    names[rows, place] = units
    order = table.argsort(dim=1, stable=True)[:, : count + 1]
    best = names.gather(1, order[:, :count])
    if width == 1:
        return Nearest(best, 0)
    # Scores of neighbouring ranks that differ by less than two rounding errors may stand the wrong way round.
    ranked = table.gather(1, order)
    slack = 2 * index.rounding(centred)
    close = (ranked.diff(dim=1) <= slack).any(1).nonzero().flatten()
    if len(close) == 0:
        return Nearest(best, 0)
    doubtful = table[close] <= ranked[close, count - 1 : count] + slack[close]
    row, column = doubtful.nonzero(as_tuple=True)
    exact = table.new_full(doubtful.shape, torch.inf, dtype=torch.float64)
    pair = names[close]
    exact[row, column] = _squared_distances(codes[close], index.prototypes, row, pair[row, column])
    best[close] = pair.gather(1, exact.argsort(dim=1, stable=True)[:, :count])
    return Nearest(best, len(close))


def products(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Inner products of chosen pairs of rows, a[rows] . b[columns], without gathering them.

    Args:
        a: (M, D) float32.
        b: (K, D) float32.
        rows: (P,) int64, ascending.
        columns: (P,) int64.

    Returns:
        (P,) float32.
    """
    ends = torch.bincount(rows, minlength=len(a)).cumsum(0)
    start = torch.cat((ends.new_zeros(1), ends))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        pattern = torch.sparse_csr_tensor(
            start, columns, a.new_zeros(len(columns)), size=(len(a), len(b)), check_invariants=False
        )
        return torch.sparse.sampled_addmm(pattern, a, b.T, beta=0.0).values()


def _squared_distances(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    parts = zip(rows.split(PAIRS), columns.split(PAIRS), strict=True)
    return torch.cat([(a[row].double() - b[column].double()).square().sum(1) for row, column in parts])

"""Prototypes made ready for search, and what every search has in common: bounds first, then only what survives.

A code x is ranked against prototype w_k by its score s_k = |w_k - m|^2 / 2 - (x - m)(w_k - m), which differs from
|x - w_k|^2 / 2 by a constant of the code. m is the mean prototype: without this centring, codes that share a large
offset lose their differences to float32 rounding.

A bound (see som/bounds.py) gives lower bounds on the scores of all units; the score of the unit with the lowest is an
upper bound on the least, and units whose lower bound lies above it cannot win. Of the others, a code's only one is its
BMU; several are scored again in float32, and where two scores are closer than float32 rounding, measured in float64
from the differences. So every search finds the BMU of a dense float64 search, up to ties of float64.
"""

import warnings
from functools import cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from som.precision import full_float32
from som.tiles import rows_at_once

SCORES = 2**21  # scores at a time on a CPU, so that they stay in its cache between the steps of a bound
BLOCK = 16  # units that are first looked at as one
MANY = 1 / 32  # of the units: to score these one by one costs more than to score all by a product
PAIRS = 512  # differences in float64 at a time


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
        self.largest = float(self.norms.max())
        self.step = torch.finfo(torch.float32).eps * max(self.centred.shape[1], 256) ** 0.5
        self._scratch: dict[str, Tensor] = {}

    def scratch(self, name: str, rows: int, columns: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A (rows, columns) tile of memory to write to, kept for the next call: fresh pages cost more than the sums."""
        tile = self._scratch.get(name)
        if tile is None or len(tile) < rows:
            tile = self._scratch[name] = torch.empty(rows, columns, dtype=dtype, device=self.prototypes.device)
        return tile[:rows]

    def bounds(self, rows: int) -> Tensor:
        """A tile (rows, K') for the bounds of K units, with infinity beyond K up to full blocks; see `scratch`."""
        units = len(self.prototypes)
        tile = self.scratch("bounds", rows, -(-units // BLOCK) * BLOCK)
        tile[:, units:] = torch.inf
        return tile

    def scores(self, codes: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Scores in a tile and their largest error (B, 1), of centred codes (B, D) of these norms (B, 1)."""
        tile = self.bounds(len(codes))
        torch.addmm(self.half_norms, codes, self.centred.T, alpha=-1, out=tile[:, : len(self.centred)])
        return tile, self.rounding(norms)

    def rounding(self, norms: Tensor) -> Tensor:
        """Bound of the rounding error of the float32 scores of centred codes, from their norms (any shape).

        The error of a float32 sum of D products grows like the square root of D, with half of eps a product; matrix
        products sum in blocks and stay far below. Products too small for float32 are lost whole.
        """
        lost = self.centred.shape[1] * torch.finfo(torch.float32).tiny
        return self.step * self.largest * (norms + self.largest) + lost


class Bounds(Protocol):
    """How scores are bounded from below; see som/bounds.py.

    Attributes:
        exact: whether the bounds are the scores themselves.
    """

    @property
    def exact(self) -> bool: ...  # noqa: D102

    def __call__(self, codes: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Lower bounds in a tile of `Index.bounds`, for centred codes (B, D) of these norms (B, 1).

        And by how much rounding may have raised them, and a float32 score (B, 1).
        """
        ...

    def give_up(self) -> None:
        """Be exact from now on: the bounds leave too many units."""
        ...


@torch.no_grad()
def find_nearest(codes: Tensor, index: Index, bounds: Bounds, count: int = 1) -> Nearest:
    """Find the nearest units of each code. Runs in float32, see som/precision.py.

    Args:
        codes: (B, D), finite, on the device of the prototypes.
        index: the prototypes.
        bounds: how the units that can win are found.
        count: how many units, 1 to K.

    Returns:
        The nearest units and how many codes were rescored.
    """
    rows = rows_at_once(codes.device, max(index.prototypes.shape))
    with full_float32(codes.device):
        found = [_search(part.float(), index, bounds, count) for part in codes.split(rows)]
    return Nearest(torch.cat([part.units for part in found]), sum(part.rescored for part in found))


def _search(codes: Tensor, index: Index, bounds: Bounds, count: int) -> Nearest:
    if len(codes) == 0:
        return Nearest(torch.zeros(0, count, dtype=torch.int64, device=codes.device), 0)
    centred = codes
    if index.mean is not None:
        centred = torch.sub(codes, index.mean, out=index.scratch("centred", *codes.shape))
    norms = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    longest = float(norms.max()) + index.largest
    if not longest**2 < torch.finfo(torch.float32).max:  # NaN is not below anything
        raise ValueError(
            "codes and prototypes must be finite, and their squared distances float32; got lengths up to "
            f"{longest:.3g}: check the codes, or lower alpha if a fit diverged"
        )
    size = max(64, SCORES // len(index.prototypes)) if codes.device.type == "cpu" else len(codes)
    best, pairs = [], []
    for first in range(0, len(codes), size):
        tile = slice(first, first + size)
        nearest, survivors = _survivors(centred[tile], norms[tile], index, bounds, count)
        survivors[:, 0] += first
        best.append(nearest)
        pairs.append(survivors)
    units, (rows, others) = torch.cat(best), torch.cat(pairs).T
    per_code = torch.bincount(rows, minlength=len(codes))
    undecided = (per_code > 1).nonzero().flatten()
    if len(undecided) == 0:
        return Nearest(units, 0)
    chosen = (per_code > 1)[rows]
    rows, others, per_code = rows[chosen], others[chosen], per_code[undecided]
    scores = index.half_norms[others] - products(centred, index.centred, rows, others)
    slack = 2 * index.rounding(norms[undecided])
    units[undecided], rescored = _rank(codes, index, undecided, slack, per_code, others, scores, count)
    return Nearest(units, rescored)


def _survivors(codes: Tensor, norms: Tensor, index: Index, bounds: Bounds, count: int) -> tuple[Tensor, Tensor]:
    """The units (B, count) of the least bounds, and all pairs (P, 2) of a code and a unit that may win.

    Pairs are ordered by code and unit. Units are looked at block by block first: the least bounds of the blocks tell
    which few blocks to look into.
    """
    lower, slack = bounds(codes, norms)
    height = BLOCK if count * BLOCK <= lower.shape[1] else 1
    blocks = lower.unflatten(1, (height, -1))  # block i holds units i, i + n, i + 2 n, ... of n blocks
    least = blocks.amin(1)
    value, chosen = least.min(1, keepdim=True) if count == 1 else least.topk(count, dim=1, largest=False)
    number = torch.arange(len(codes), device=codes.device)[:, None]
    units = blocks[number, :, chosen].argmin(2) * least.shape[1] + chosen
    if not bounds.exact:
        dots = products(codes, index.centred, number.expand_as(units).flatten(), units.flatten())
        value = index.half_norms[units] - dots.view(units.shape)
    ceiling = value.amax(1, keepdim=True) + 2 * slack
    row, block = (least <= ceiling).nonzero(as_tuple=True)
    place, inside = (blocks[row, :, block] <= ceiling[row]).nonzero(as_tuple=True)
    if not bounds.exact and len(place) > lower.numel() * MANY:
        bounds.give_up()
        return _survivors(codes, norms, index, bounds, count)
    pairs = row[place] * lower.shape[1] + inside * least.shape[1] + block[place]
    pairs = pairs.sort().values
    return units, torch.stack((pairs // lower.shape[1], pairs % lower.shape[1]), dim=1)


def _rank(
    codes: Tensor,
    index: Index,
    numbers: Tensor,
    slack: Tensor,
    survivors: Tensor,
    units: Tensor,
    scores: Tensor,
    count: int,
) -> tuple[Tensor, int]:
    """The ``count`` nearest of each code's surviving units, and how many codes float32 could not decide.

    Args:
        codes: (B, D).
        index: the prototypes.
        numbers: (M,) the codes in question.
        slack: (M, 1) how far apart scores must be for their order to be certain.
        survivors: (M,) how many units survive of each, at least ``count``.
        units: (P,) these units, code after code, ascending within each.
        scores: (P,) their float32 scores.
        count: n.
    """
    filled = torch.arange(int(survivors.max()), device=units.device) < survivors[:, None]
    table = scores.new_full(filled.shape, torch.inf).masked_scatter_(filled, scores)
    names = units.new_zeros(filled.shape).masked_scatter_(filled, units)
    order = table.argsort(dim=1, stable=True)[:, : count + 1]
    best = names.gather(1, order[:, :count])
    ranked = table.gather(1, order)
    close = (ranked.diff(dim=1) <= slack).any(1).nonzero().flatten()
    if len(close) == 0:
        return best, 0
    doubtful = table[close] <= ranked[close, count - 1 : count] + slack[close]
    row, column = doubtful.nonzero(as_tuple=True)
    exact = table.new_full(doubtful.shape, torch.inf, dtype=torch.float64)
    names = names[close]
    exact[row, column] = _squared_distances(codes, index.prototypes, numbers[close][row], names[row, column])
    best[close] = names.gather(1, exact.argsort(dim=1, stable=True)[:, :count])
    return best, len(close)


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
    _silence_sparse()
    values = a.new_zeros(len(columns))
    pattern = torch.sparse_csr_tensor(start, columns, values, size=(len(a), len(b)), check_invariants=False)
    return torch.sparse.sampled_addmm(pattern, a, b.T, beta=0.0).values()


@cache
def _silence_sparse() -> None:
    """Make torch's only warnings of a process that CSR tensors are in beta, and unchecked, come here, unseen.

    Once: filters of warnings belong to all threads, and each change of them makes old warnings come again.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled", UserWarning)  # torch 2.11
        ends = torch.tensor([0, 1])
        torch.sparse_csr_tensor(ends, ends[:1], torch.ones(1), size=(1, 1), check_invariants=False)


def _squared_distances(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    parts = zip(rows.split(PAIRS), columns.split(PAIRS), strict=True)
    return torch.cat([(a[row].double() - b[column].double()).square().sum(1) for row, column in parts])

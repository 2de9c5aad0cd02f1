"""Lower bounds of all scores of a code, by which a search discards the units that cannot win (see som/index.py).

Each bound takes centred codes x (B, D) and a number n, and returns lower bounds (B, K) and a ceiling (B, 1): the exact
scores of at least n units are at most the ceiling. They differ in cost only, never in what is found:

- :class:`Dense`: one float32 product, 2 B K D FLOPs; survivors are ties within rounding.
- :class:`HalfPrecision`: the same product in bfloat16, many times faster where the hardware has units for it (AMX,
  tensor cores). |x v - x' v'| <= |x - x'| |v| + |x'| |v - v'| for rounded x', v' (Cauchy-Schwarz), and the norms of
  these differences are measured. A handful of units survive.
- :class:`LowRank`: right after an update of the batch rule, the prototypes are V = F P of a low rank q, so the product
  costs 2 B q (D + K).
"""

import time
from functools import lru_cache

import torch
from torch import Tensor

from som.index import ROWS, Index

LAST_BIT = 2.0**-8  # largest relative error of rounding to bfloat16, with its 8 significant bits


class Dense:
    """Scores by one float32 product."""

    def __init__(self, index: Index) -> None:
        self.index = index

    def __call__(self, codes: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Lower bounds (B, K) and the ceiling (B, 1) of centred codes (B, D)."""
        scores = self.index.scratch("lower", len(codes), len(self.index.prototypes))
        torch.addmm(self.index.half_norms, codes, self.index.centred.T, alpha=-1, out=scores)
        return scores, _smallest(scores, count) + 2 * self.index.rounding(codes)


class LowRank:
    """Scores through factors of the prototypes: centred = left @ right.

    Args:
        index: the prototypes.
        left: (K, q).
        right: (q, D).
        shift: length of the vector that was added to the product and taken off again to give the prototypes, which
            has rounded them.
    """

    def __init__(self, index: Index, left: Tensor, right: Tensor, shift: float = 0.0) -> None:
        self.index, self.left, self.right = index, left, right
        self.rounded = torch.finfo(torch.float32).eps * shift  # how far a prototype lies from its product, at most
        # Rounding errors grow with the terms of a score, which may cancel.
        terms = (left.abs() @ torch.linalg.vector_norm(right, dim=1)).max()
        self.cancelling = (terms / index.norms.max().clamp(min=torch.finfo(torch.float32).tiny)).clamp(min=1.0)

    def __call__(self, codes: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Lower bounds (B, K) and the ceiling (B, 1) of centred codes (B, D)."""
        scores = self.index.scratch("lower", len(codes), len(self.index.prototypes))
        torch.addmm(self.index.half_norms, codes @ self.right.T, self.left.T, alpha=-1, out=scores)
        error = self.cancelling * self.index.rounding(codes)
        if self.rounded:
            error += self.rounded * torch.linalg.vector_norm(codes, dim=1, keepdim=True)
        return scores, _smallest(scores, count) + 2 * error


class HalfPrecision:
    """Scores by one bfloat16 product, with the bound of its error."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.half = index.centred.bfloat16()
        parts = zip(index.centred.split(ROWS), self.half.split(ROWS), strict=True)
        losses = torch.cat([torch.linalg.vector_norm(a - b, dim=1) for a, b in parts])
        self.margins = torch.stack((index.norms, losses))  # (2, K)

    def __call__(self, codes: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Lower bounds (B, K) and the ceiling (B, 1) of centred codes (B, D)."""
        scratch, units = self.index.scratch, len(self.half)
        half = scratch("half", len(codes), codes.shape[1], torch.bfloat16).copy_(codes)
        rounded = scratch("rounded", len(codes), codes.shape[1]).copy_(half)
        norms = torch.linalg.vector_norm(rounded, dim=1)
        losses = torch.linalg.vector_norm(rounded.sub_(codes), dim=1)
        weights = torch.stack((losses, norms), dim=1) * 1.001  # the norms are rounded themselves
        dots = torch.mm(half, self.half.T, out=scratch("dots", len(codes), units, torch.bfloat16))
        lower = scratch("lower", len(codes), units)
        torch.addmm(self.index.half_norms, weights, self.margins, alpha=-1, out=lower)
        wide = scratch("wide", len(codes), units).copy_(dots)
        lower -= wide
        lower.sub_(wide.abs_(), alpha=LAST_BIT)
        _, best = _smallest_units(lower, count)
        error = LAST_BIT * wide.gather(1, best) + (weights[:, None] * self.margins.T[best]).sum(2)
        ceiling = (lower.gather(1, best) + 2 * error).amax(1, keepdim=True)
        return lower, ceiling + 2 * self.index.rounding(codes)


def fast_bounds(index: Index, codes: int) -> Dense | HalfPrecision:
    """The faster of the bounds that suit any prototypes, for so many codes on this device."""
    # Rounding the prototypes costs as much as a product with some 200 codes saves.
    pays = codes >= 512 and half_precision_pays(index.prototypes.device)
    return HalfPrecision(index) if pays else Dense(index)


def low_rank_pays(rank: int, prototypes: Tensor, *, measured: bool = True) -> bool:
    """Whether factors of this rank make a search of prototypes (K, D) faster than the other bounds do.

    Args:
        rank: q.
        prototypes: (K, D).
        measured: whether the speed of this machine counts; where not, the answer is the same every time.
    """
    units, dimensions = prototypes.shape
    share = 0.1 if not measured or half_precision_pays(prototypes.device) else 0.45  # of the dense product
    return rank * (dimensions + units) < share * units * dimensions


@lru_cache
def half_precision_pays(device: torch.device) -> bool:
    """Whether a bfloat16 product runs at least 2.5 times faster here than a float32 one; measured once, in 0.1 s."""
    a, b = torch.ones(512, 1024, device=device), torch.ones(1024, 1024, device=device)
    return 2.5 * _seconds(a.bfloat16(), b.bfloat16()) < _seconds(a, b)


def _seconds(a: Tensor, b: Tensor) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        float((a @ b.T)[0, 0])  # waits for the device
        times.append(time.perf_counter() - start)
    return min(times)


def _smallest(scores: Tensor, count: int) -> Tensor:
    return _smallest_units(scores, count)[0].amax(1, keepdim=True)


def _smallest_units(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    # The minimum is several times faster than the top 1.
    found = scores.min(1, keepdim=True) if count == 1 else scores.topk(count, dim=1, largest=False)
    return found.values, found.indices

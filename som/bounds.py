"""Approximate scores of all units for a code, by which a search discards those that cannot win (see som/index.py).

Each bound takes centred codes x (B, D) and their norms (B, 1), and returns scores (B, K) and the largest error of a
code's scores (B, 1). The bounds differ in cost only, never in what is found:

- :class:`Dense`: one float32 product, 2 B K D FLOPs; survivors are ties within rounding.
- :class:`HalfPrecision`: the same product in bfloat16, many times faster where the hardware has units for it (AMX,
  tensor cores). |x v - x' v'| <= |x - x'| |v| + |x'| |v - v'| for rounded x', v' (Cauchy-Schwarz), with
  |x - x'| <= 2^-8 |x|, and |v - v'| measured. A handful of units survive.
- :class:`LowRank`: right after an update of the batch rule, the prototypes are V = F P of a low rank q, so the product
  costs 2 B q (D + K).
"""

import time
from collections.abc import Iterable
from functools import lru_cache

import torch
from torch import Tensor

from som.index import ROWS, Index

LAST_BIT = 2.0**-8  # largest relative error of rounding to bfloat16, with its 8 significant bits


class Dense:
    """Scores by one float32 product."""

    narrow = True

    def __init__(self, index: Index) -> None:
        self.index = index

    def __call__(self, codes: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, K) and their largest error (B, 1), of centred codes (B, D) of these norms (B, 1)."""
        scores = self.index.scratch("scores", len(codes), len(self.index.prototypes))
        torch.addmm(self.index.half_norms, codes, self.index.centred.T, alpha=-1, out=scores)
        return scores, self.index.rounding(norms)


class LowRank:
    """Scores through factors of the prototypes: centred = left @ right.

    Args:
        index: the prototypes.
        left: (K, q).
        right: (q, D).
    """

    narrow = True

    def __init__(self, index: Index, left: Tensor, right: Tensor) -> None:
        self.index, self.left, self.right = index, left, right
        # Rounding errors grow with the terms of a score, which may cancel.
        terms = float((left.abs() @ torch.linalg.vector_norm(right, dim=1)).max())
        self.cancelling = max(1.0, terms / max(index.largest, torch.finfo(torch.float32).tiny))
        parts = zip(index.centred.split(ROWS), left.split(ROWS), strict=True)
        self.largest_loss = _largest_norm(torch.addmm(part, factor, right, alpha=-1) for part, factor in parts)

    def __call__(self, codes: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, K) and their largest error (B, 1), of centred codes (B, D) of these norms (B, 1)."""
        scores = self.index.scratch("scores", len(codes), len(self.index.prototypes))
        torch.addmm(self.index.half_norms, codes @ self.right.T, self.left.T, alpha=-1, out=scores)
        return scores, self.cancelling * self.index.rounding(norms) + norms * self.largest_loss


class HalfPrecision:
    """Scores by one bfloat16 product, with the bound of its error."""

    narrow = False

    def __init__(self, index: Index) -> None:
        self.index = index
        self.half = index.centred.bfloat16()
        parts = zip(index.centred.split(ROWS), self.half.split(ROWS), strict=True)
        self.largest_loss = _largest_norm(exact - rounded for exact, rounded in parts)

    def __call__(self, codes: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, K) and their largest error (B, 1), of centred codes (B, D) of these norms (B, 1)."""
        scratch, size, units = self.index.scratch, len(codes), len(self.half)
        half = scratch("half", size, codes.shape[1], torch.bfloat16).copy_(codes)
        dots = torch.mm(half, self.half.T, out=scratch("dots", size, units, torch.bfloat16))
        scores = scratch("scores", size, units).copy_(dots)
        largest_dots = torch.maximum(scores.amax(1, keepdim=True), -scores.amin(1, keepdim=True))
        torch.sub(self.index.half_norms, scores, out=scores)
        error = norms * (LAST_BIT * (self.index.largest + self.largest_loss) + self.largest_loss)
        error.add_(largest_dots, alpha=LAST_BIT)  # the products themselves are rounded
        return scores, error.mul_(1.001).add_(self.index.rounding(norms))  # and so are the norms


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
    share = 0.2 if not measured or half_precision_pays(prototypes.device) else 0.45  # of the dense product
    return rank * (dimensions + units) < share * units * dimensions


@lru_cache
def half_precision_pays(device: torch.device) -> bool:
    """Whether a bfloat16 product runs at least 2.5 times faster here than a float32 one; measured once, in 0.1 s."""
    a, b = torch.ones(512, 1024, device=device), torch.ones(1024, 1024, device=device)
    return 2.5 * _seconds(a.bfloat16(), b.bfloat16()) < _seconds(a, b)


def _seconds(a: Tensor, b: Tensor) -> float:
    times = []
    for _ in range(9):  # the least of several, since a busy machine delays some
        start = time.perf_counter()
        float((a @ b.T)[0, 0])  # waits for the device
        times.append(time.perf_counter() - start)
    return min(times)


def _largest_norm(parts: Iterable[Tensor]) -> float:
    return max(float(torch.linalg.vector_norm(part, dim=1).max()) for part in parts)

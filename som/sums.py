"""Sums of codes by unit: all that a map learns from a batch.

S_c and n_c are the sum and the number of the codes whose BMU is c; smoothed over the map they are the numerator H S and
the denominator H n of every update rule (see som/rules.py).
"""

import torch
from torch import Tensor, distributed, nn

from som.neighbourhood import Factors, neighbourhood_weights, smooth

BITS = 40  # of a fixed-point number below the largest code, where the sum of all codes leaves so many of its 63


class UnitSums(nn.Module):
    """Running sums of codes by unit, over batches and, when asked, over processes.

    Args:
        prototypes: (K, D), for their shape and device.
        largest: largest absolute value of any code, on any process: then the sums are kept as int64 multiples of
            2^-40 of it, which do not depend on the order of the codes or on the number of processes; None keeps
            them in float32.
        samples: how many codes are summed at most, over all processes: beyond 2^22 the multiples are larger, so that
            no sum overflows.

    Attributes:
        codes: (K, D) sums.
        counts: (K,) int64 numbers of codes.
    """

    total: Tensor
    counts: Tensor

    def __init__(self, prototypes: Tensor, largest: float | None = None, samples: int = 2**22) -> None:
        super().__init__()
        bits = min(BITS, 62 - (samples - 1).bit_length())
        self.scale = None if largest is None else 2.0**bits / max(largest, torch.finfo(torch.float32).tiny)
        dtype = torch.float32 if self.scale is None else torch.int64
        self.register_buffer("total", torch.zeros_like(prototypes, dtype=dtype, requires_grad=False))
        self.register_buffer("counts", torch.zeros(len(prototypes), dtype=torch.int64, device=prototypes.device))

    @property
    def codes(self) -> Tensor:
        """(K, D) float32 sums."""
        return self.total if self.scale is None else (self.total.double() / self.scale).float()

    def add(self, codes: Tensor, bmu: Tensor) -> None:
        """Add codes (B, D) to the units bmu (B,)."""
        if self.scale is not None:
            codes = (codes.double() * self.scale).round_().long()
        self.total.index_add_(0, bmu, codes)
        self.counts += torch.bincount(bmu, minlength=len(self.counts))

    def merge(self, other: "UnitSums") -> None:
        """Add the sums of another, of the same scale."""
        self.total += other.total
        self.counts += other.counts

    def clear(self) -> None:
        """Start anew."""
        self.total.zero_()
        self.counts.zero_()

    def reduce(self) -> None:
        """Add up the sums of all processes; a collective, to be called on every process."""
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(self.total)
            distributed.all_reduce(self.counts)


def smoothed_sums(codes: Tensor, bmu: Tensor, factors: Factors) -> tuple[Tensor, Tensor]:
    """Numerator and denominator of an update from one batch: sum_b h(c_b, k) x_b and sum_b h(c_b, k).

    Args:
        codes: (B, D) floating point.
        bmu: (B,) int64.
        factors: row factor (rows, rows) and column factor (cols, cols), of the codes' type.

    Returns:
        (K, D) and (K,).
    """
    rows, cols = factors
    if len(codes) < len(rows) + len(cols):  # one product with (B, K) weights is cheaper than smoothing all units
        weights = neighbourhood_weights(factors, bmu)
        return weights.T @ codes, weights.sum(0)
    units = len(rows) * len(cols)
    sums = codes.new_zeros(units, codes.shape[1]).index_add_(0, bmu, codes)
    counts = torch.bincount(bmu, minlength=units).to(codes.dtype)
    return smooth(factors, sums), smooth(factors, counts)

"""Running mean and standard deviation of codes, and the standardised codes.

Batches (B, D) are merged by the update of Chan, Golub and LeVeque (1979): with the counts n, the means and the sums of
squared deviations M2 of two parts, mean = mean_a + delta n_b / n and M2 = M2_a + M2_b + delta^2 n_a n_b / n. Everything
is kept in float64: codes carry large offsets. In a distributed run each batch is the global one, so that every process
holds the same statistics.
"""

import torch
from torch import Tensor, distributed, nn

from som.checks import check_finite, check_shape

# A dimension whose spread is below this share of its mean is constant: what is left is the rounding of float64 codes,
# numpy's default (sums of equal float32 codes are exact). The smallest spread that float32 codes can show, one last bit
# in one of N samples, is 6e-8 / sqrt(N), above this up to N = 1e9.
CONSTANT = 1e-12


class RunningStandardiser(nn.Module):
    """Maps codes to zero mean and unit standard deviation in each dimension, by what it has seen so far.

    The standard deviation is the population's (divided by n). Constant dimensions are only centred, so they map to 0.
    Before the first update the map is the identity.

    Args:
        dimensions: D.

    Example:
        >>> standardiser = RunningStandardiser(2)
        >>> standardiser.update(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
        >>> standardiser(torch.tensor([[4.0, 5.0]]))
        tensor([[2., 0.]])
    """

    count: Tensor
    mean: Tensor
    m2: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(dimensions, dtype=torch.float64))
        self.register_buffer("m2", torch.zeros(dimensions, dtype=torch.float64))

    @property
    def standard_deviation(self) -> Tensor:
        """(D,) float64, with 1 for constant dimensions and before the first update."""
        deviation = (self.m2 / self.count.clamp(min=1)).sqrt()
        return torch.where(deviation <= CONSTANT * self.mean.abs(), 1.0, deviation)

    @torch.no_grad()
    def update(self, codes: Tensor, *, shared: bool = False) -> None:
        """Merge a batch into the statistics; in a distributed run a collective, to be called on every process.

        Args:
            codes: (B, D), finite; B may be 0 and may differ between processes.
            shared: whether every process gives these same codes, which then count once; no collective.

        Raises:
            ValueError: if the codes are not (B, D), or not finite on any process; then no process changes its
                statistics.
        """
        check_shape(codes, self.dimensions)
        codes = codes.double()
        total = (lambda sums: sums) if shared else _all_processes
        sums = total(torch.cat((codes.new_full((1,), len(codes)), codes.sum(0))))
        if not torch.isfinite(sums).all():
            # Every process sees the same sums, so all of them stop here and none waits in the next collective.
            check_finite(codes)
            raise ValueError("codes must be finite; those of another process hold NaN or infinity (see its error)")
        mean = sums[1:] / sums[0].clamp(min=1)
        m2 = total((codes - mean).square().sum(0))
        count = sums[0].long()
        share = count / (self.count + count).clamp(min=1).double()
        delta = mean - self.mean
        self.m2 += m2 + delta.square() * self.count * share
        self.mean += delta * share
        self.count += count

    def forward(self, codes: Tensor) -> Tensor:
        """Standardise codes; differentiable for them.

        Args:
            codes: (..., D).

        Returns:
            (..., D) float32.
        """
        # In float64 until the end: rounding the mean of a large offset to float32 would shift every code.
        return ((codes.double() - self.mean) / self.standard_deviation).float()


def _all_processes(sums: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(sums)
    return sums

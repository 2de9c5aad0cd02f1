"""What a statistic would be if the map knew nothing of the classes: permuted labels, uniform BMUs, p-values.

Statistics are computed from ``hits`` (C, K), counts by class and unit. Shuffling the labels of all samples keeps the
samples of each class and of each unit: such tables are drawn directly, from the multivariate hypergeometric
distribution of tables with those margins. The p-value of B draws is (1 + draws at least as extreme) / (1 + B), valid at
any B (Phipson and Smyth 2010, Permutation p-values should never be zero).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

Alternative = Literal["greater", "less"]
Statistics = Callable[[Tensor], Mapping[str, Tensor]]
"""Scalars by name from counts (C, K)."""


@dataclass(frozen=True)
class AgainstNull:
    """A statistic beside its null distribution.

    Args:
        value: of the data.
        null_mean: mean of the null draws.
        null_low: their 2.5 % quantile.
        null_high: their 97.5 % quantile.
        p_value: share of draws at least as extreme, in the direction of structure; the least is 1 / (1 + draws).

    All are NaN if the statistic is undefined. Draws where it is undefined are left out of the mean and the quantiles,
    and count as extreme.
    """

    value: float
    null_mean: float
    null_low: float
    null_high: float
    p_value: float


def permuted_hits(hits: Tensor, generator: Generator) -> Tensor:
    """Draw a table of counts as if the labels had been shuffled among all samples.

    Args:
        hits: (C, K) counts by class and unit.
        generator: source of randomness, on the CPU, so that devices agree.

    Returns:
        (C, K) int64 with the same sums over classes and over units.
    """
    hits = hits.long()
    classes, units = hits.shape
    label = torch.repeat_interleave(hits.sum(1).cpu())
    bmu = torch.repeat_interleave(hits.sum(0).cpu())
    cells = label * units + bmu[torch.randperm(len(bmu), generator=generator)]
    return torch.bincount(cells.to(hits.device), minlength=classes * units).view(classes, units)


def uniform_hits(totals: Tensor, units: int, generator: Generator) -> Tensor:
    """Draw a table of counts as if every sample fell on any unit with equal chance.

    Args:
        totals: (C,) int64 samples of each class.
        units: K.
        generator: source of randomness, on the CPU, so that devices agree.

    Returns:
        (C, K) int64 with those sums over units.
    """
    label = torch.repeat_interleave(totals.cpu())
    cells = label * units + torch.randint(units, label.shape, generator=generator)
    return torch.bincount(cells.to(totals.device), minlength=len(totals) * units).view(len(totals), units)


def permutation_test(
    statistics: Statistics,
    hits: Tensor,
    alternatives: Mapping[str, Alternative],
    permutations: int = 200,
    seed: int = 0,
) -> dict[str, AgainstNull]:
    """Test statistics against shuffled labels.

    Args:
        statistics: scalars by name from counts (C, K); called once for the data and once for each permutation.
        hits: (C, K) counts by class and unit.
        alternatives: for each name to report, whether structure makes the statistic "greater" or "less".
        permutations: B, 1 or more; the least p-value is 1 / (1 + B).
        seed: of the permutations.

    Returns:
        A result for each name in ``alternatives``.

    Raises:
        ValueError: if ``permutations`` is below 1.

    Example:
        >>> hits = torch.tensor([[9, 1], [1, 9]])
        >>> diagonal = permutation_test(lambda table: {"diagonal": table.trace()}, hits, {"diagonal": "greater"})
        >>> diagonal["diagonal"].value, round(diagonal["diagonal"].p_value, 3)
        (18.0, 0.005)
    """
    if permutations < 1:
        raise ValueError(f"permutations must be 1 or more; got permutations={permutations}")
    generator = torch.Generator().manual_seed(seed)
    observed = statistics(hits)
    draws: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(permutations):
        drawn = statistics(permuted_hits(hits, generator))
        for name, values in draws.items():
            values.append(float(drawn[name]))
    return {
        name: against_null(float(observed[name]), draws[name], alternative)
        for name, alternative in alternatives.items()
    }


def against_null(value: float, draws: list[float], alternative: Alternative) -> AgainstNull:
    """Set a value beside null draws of it; see :class:`AgainstNull`.

    Args:
        value: of the data.
        draws: of the null, one or more.
        alternative: whether structure makes it "greater" or "less".
    """
    if math.isnan(value):
        return AgainstNull(value, math.nan, math.nan, math.nan, math.nan)
    null = torch.tensor(draws, dtype=torch.float64)
    milder = null < value if alternative == "greater" else null > value
    p_value = (1 + int((~milder).sum())) / (1 + len(null))
    defined = null[~null.isnan()]
    if not len(defined):
        return AgainstNull(value, math.nan, math.nan, math.nan, p_value)
    low, high = (float(defined.quantile(share, interpolation="nearest")) for share in (0.025, 0.975))
    return AgainstNull(value, float(defined.mean()), low, high, p_value)

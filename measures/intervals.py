"""Intervals of statistics of ``hits`` (C, K), counts by class and unit: the grouped jackknife.

The bootstrap fails here: it draws samples twice, and a sample drawn twice shares a unit with itself, so every measure
of shared units reads too high. The jackknife only leaves samples out. The samples of each class are dealt at random to
G groups, the statistic is computed without each group, and with theta_g for those values

    standard error^2 = (G - 1) / G sum_g (theta_g - mean theta)^2        (Efron and Tibshirani 1993, chapter 11);

the interval is the statistic plus and minus Student's t with G - 1 degrees of freedom times that. It covers the drawing
of samples, not another fit of the map.
"""

import math
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from measures.nulls import Statistics

GROUPS = 20


@dataclass(frozen=True)
class Interval:
    """A statistic and its confidence interval; bounds are NaN if the statistic is undefined or infinite in any group.

    Args:
        value: of all samples.
        low: lower bound.
        high: upper bound; both may lie outside the statistic's range.
        error: the standard error.
    """

    value: float
    low: float
    high: float
    error: float


def jackknife(
    statistics: Statistics, hits: Tensor, groups: int = GROUPS, seed: int = 0, confidence: float = 0.95
) -> dict[str, Interval]:
    """Intervals of smooth statistics; neither a median nor a p-value is one.

    Args:
        statistics: scalars by name from counts (C, K).
        hits: (C, K) counts by class and unit.
        groups: G, 2 or more.
        seed: of the dealing.
        confidence: coverage, between 0 and 1.

    Returns:
        An interval for each name that ``statistics`` gives.

    Raises:
        ValueError: if ``groups`` or ``confidence`` is out of range.

    Example:
        >>> shares = jackknife(lambda table: {"share": table[0, 0] / table.sum()}, torch.tensor([[40, 60]]))
        >>> shares["share"].value, shares["share"].low < 0.4 < shares["share"].high
        (0.4000000059604645, True)
    """
    if groups < 2:
        raise ValueError(f"a jackknife needs 2 groups or more; got groups={groups}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95; got confidence={confidence}")
    value = {name: float(scalar) for name, scalar in statistics(hits).items()}
    left = [statistics(hits - part) for part in deal(hits, groups, seed)]
    quantile = float(stats.t.ppf((1 + confidence) / 2, groups - 1))
    intervals = {}
    for name, center in value.items():
        thetas = torch.tensor([float(each[name]) for each in left], dtype=torch.float64)
        # A group of no samples changes nothing, and so adds nothing.
        error = float(((groups - 1) / groups * (thetas - thetas.mean()).square().sum()).sqrt())
        error = error if math.isfinite(center) else math.nan
        intervals[name] = Interval(center, center - quantile * error, center + quantile * error, error)
    return intervals


def deal(hits: Tensor, groups: int, seed: int) -> list[Tensor]:
    """Deal the samples behind a table of counts to groups, those of each class as evenly as can be.

    Args:
        hits: (C, K) counts by class and unit.
        groups: G.
        seed: of the dealing.

    Returns:
        G tables (C, K) int64 that add up to ``hits``, one at a time sized by its samples.
    """
    shape, cells = hits.shape, shuffled_cells(hits, torch.Generator().manual_seed(seed))
    group = torch.arange(len(cells)) % groups  # classes follow one another, so each is spread over all groups
    size = shape[0] * shape[1]
    return [torch.bincount(cells[group == g].to(hits.device), minlength=size).view(shape) for g in range(groups)]


def shuffled_cells(hits: Tensor, generator: torch.Generator) -> Tensor:
    """The cell c K + u of every sample behind a table of counts, class by class, in random order within each.

    Args:
        hits: (C, K) counts by class and unit.
        generator: source of randomness, on the CPU.

    Returns:
        (N,) int64, on the CPU.
    """
    cells = torch.repeat_interleave(hits.long().flatten().cpu())
    cells = cells[torch.randperm(len(cells), generator=generator)]
    return cells[torch.argsort(cells // hits.shape[1], stable=True)]

"""Comparisons at equal numbers of samples: almost every estimator here is biased or noisier at fewer samples.

Splits, such as training and validation images, are compared after both were brought to equal numbers of samples for
each class: drawn without replacement, with a seed, from counts (``hits``, (C, K)) or from labels. :func:`compare`
refuses anything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from measures.intervals import GROUPS, jackknife, shuffled_cells
from measures.nulls import Statistics


@dataclass(frozen=True)
class Comparison:
    """A statistic of two splits, and their difference with its confidence interval.

    Args:
        first: of the first split.
        second: of the second split.
        difference: first - second.
        low: lower bound of the difference.
        high: upper bound; an interval without 0 says that the splits differ by more than the drawing of samples.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float


def subsample_hits(hits: Tensor, samples: int | Tensor, seed: int = 0) -> Tensor:
    """Draw some samples of each class, without replacement, from a table of counts.

    Args:
        hits: (C, K) counts by class and unit.
        samples: how many of each class: a number for all that have samples, or (C,) int64.
        seed: of the draw.

    Returns:
        (C, K) int64; a class without samples stays empty where a single number is asked for.

    Raises:
        ValueError: naming the class with the fewest samples, if a class has fewer than asked for.

    Example:
        >>> subsample_hits(torch.tensor([[3, 3], [0, 2]]), 2).sum(1)
        tensor([2, 2])
    """
    hits = hits.long()
    totals = hits.sum(1)
    wanted = torch.where(totals > 0, samples, 0) if isinstance(samples, int) else samples.to(totals)
    if wanted.shape != totals.shape or (wanted < 0).any():
        raise ValueError(f"samples must be a number, 0 or more, for each of {len(hits)} classes; got {samples}")
    _check_enough(totals, wanted)
    cells = shuffled_cells(hits, torch.Generator().manual_seed(seed))
    rank = torch.arange(len(cells)) - (totals.cumsum(0) - totals).cpu()[cells // hits.shape[1]]
    kept = cells[rank < wanted.cpu()[cells // hits.shape[1]]]
    return torch.bincount(kept.to(hits.device), minlength=hits.numel()).view(hits.shape)


def equalise_hits(*tables: Tensor, seed: int = 0) -> list[Tensor]:
    """Bring splits to equal numbers of samples: for each class as many as the split that has fewest of it.

    A class that one split lacks is empty in all.

    Args:
        tables: (C, K) counts by class and unit of each split; K may differ.
        seed: of the draws; each split has its own.

    Returns:
        As many tables (C, K) int64.

    Raises:
        ValueError: if their C differ.

    Example:
        >>> first, second = equalise_hits(torch.tensor([[5, 5], [1, 0]]), torch.tensor([[2, 1], [0, 9]]))
        >>> first.sum(1), second.sum(1)
        (tensor([3, 1]), tensor([3, 1]))
    """
    _check_classes(tables)
    fewest = torch.stack([table.sum(1).long() for table in tables]).amin(0)
    return [subsample_hits(table, fewest, seed + number) for number, table in enumerate(tables)]


def equal_samples(label: Tensor, samples: int, seed: int = 0) -> Tensor:
    """Draw as many samples of each class that occurs, without replacement.

    Args:
        label: (N,) int64 classes, 0 or more.
        samples: how many of each class.
        seed: of the draw.

    Returns:
        (n,) int64 positions in ``label``, ascending; use them on BMUs, codes and ids alike.

    Raises:
        ValueError: if a label is negative, or naming the class with the fewest samples, if one has fewer.

    Example:
        >>> label = torch.tensor([0, 1, 0, 1, 1])
        >>> label[equal_samples(label, 2)].bincount()
        tensor([2, 2])
    """
    if len(label) and label.min() < 0:
        raise ValueError(f"label {int(label.min())} is below 0: leave samples without a label out")
    totals = label.bincount().cpu()
    _check_enough(totals, torch.where(totals > 0, samples, 0))
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(seed))
    order = order[torch.argsort(label.cpu()[order], stable=True)]
    rank = torch.arange(len(order)) - (totals.cumsum(0) - totals)[label.cpu()[order]]
    return order[rank < samples].sort().values.to(label.device)


def compare(
    statistics: Statistics, first: Tensor, second: Tensor, groups: int = GROUPS, seed: int = 0, confidence: float = 0.95
) -> Mapping[str, Comparison]:
    """Compare statistics of two splits of equal numbers of samples a class, on one map or on two.

    The interval adds up the jackknife errors of both, as of independent samples: where they are the same images at two
    depths it is too wide or too narrow, as their errors agree or oppose.

    Args:
        statistics: scalars by name from counts (C, K).
        first: (C, K) counts by class and unit.
        second: (C, K) counts; K may differ.
        groups: of the jackknife.
        seed: of the jackknife.
        confidence: coverage, between 0 and 1.

    Returns:
        A comparison for each name that ``statistics`` gives; NaN where a statistic is undefined.

    Raises:
        ValueError: naming the class and both numbers, if the splits have unequal numbers of samples of any class.
    """
    _check_classes((first, second))
    numbers = torch.stack((first.sum(1), second.sum(1)))
    unequal = (numbers[0] != numbers[1]).nonzero()
    if len(unequal):
        label = int(unequal[0])
        one, other = numbers[:, label].tolist()
        raise ValueError(
            f"splits can be compared at equal numbers of samples only; class {label} has {one} and {other} "
            f"({len(unequal)} classes differ): bring them to equal numbers with equalise_hits(first, second)"
        )
    ours, theirs = (jackknife(statistics, hits, groups, seed, confidence) for hits in (first, second))
    quantile = float(stats.t.ppf((1 + confidence) / 2, groups - 1))
    found = {}
    for name in ours:
        difference = ours[name].value - theirs[name].value
        half = quantile * (ours[name].error ** 2 + theirs[name].error ** 2) ** 0.5
        found[name] = Comparison(ours[name].value, theirs[name].value, difference, difference - half, difference + half)
    return found


def _check_enough(totals: Tensor, wanted: Tensor) -> None:
    short = totals < wanted
    if short.any():
        label = int(torch.where(short, totals, totals.max() + 1).argmin())
        raise ValueError(
            f"class {label} has {int(totals[label])} samples, fewer than the {int(wanted[label])} asked for: ask for "
            "fewer, or leave the class out"
        )


def _check_classes(tables: tuple[Tensor, ...]) -> None:
    if len({len(table) for table in tables}) > 1:
        raise ValueError(f"splits must count the same classes; got {', '.join(str(len(table)) for table in tables)}")

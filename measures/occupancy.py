"""How samples spread over the units: counts by class and unit, density, effective and dead units.

The counts ``hits`` (classes, K) are int64, so that sums over batches and processes are exact. The effective number of
units is Hill's number of order 2 in its unbiased form, the inverse of Simpson's index N(N-1) / sum_k n_k (n_k - 1)
(Simpson 1949, Hill 1973): plug-in estimates (entropy, share of units hit) depend on N at the sample sizes of a split.
"""

import torch
from torch import Tensor
from torchmetrics import Metric


def count_hits(bmu: Tensor, label: Tensor, num_units: int, num_classes: int) -> Tensor:
    """Count samples by class and unit.

    Args:
        bmu: (N,) int64 units in [0, num_units).
        label: (N,) int64 classes in [0, num_classes).
        num_units: K.
        num_classes: number of classes.

    Returns:
        (num_classes, num_units) int64.

    Raises:
        ValueError: if the shapes differ, or a label or a unit is out of range.
    """
    if bmu.shape != label.shape:
        raise ValueError(f"bmu and label must pair up; got shapes {tuple(bmu.shape)} and {tuple(label.shape)}")
    _check_range(label, num_classes, "label", "num_classes")
    _check_range(bmu, num_units, "bmu", "num_units")
    cells = torch.bincount(label * num_units + bmu, minlength=num_classes * num_units)
    return cells.view(num_classes, num_units)


def density(hits: Tensor, scale: float = 1.0) -> Tensor:
    """Share of the samples at each unit.

    Args:
        hits: (..., K) counts.
        scale: factor; the paper (arXiv 2205.10952) multiplies by 100 in its pictures, so that they show per cent.

    Returns:
        (..., K) float32 that sums to ``scale`` over the units; NaN for no samples.

    Example:
        >>> density(torch.tensor([3, 0, 1]))
        tensor([0.7500, 0.0000, 0.2500])
    """
    hits = hits.double()
    return (scale * hits / hits.sum(-1, keepdim=True)).float()


def effective_units(hits: Tensor) -> Tensor:
    """Effective number of units: N(N-1) / sum_k n_k (n_k - 1), the inverse chance that two samples share a unit.

    1 = all samples share one unit; K equally likely units give about K, whatever N. Neither direction is better. The
    estimate may exceed K: its relative error is about 1 / sqrt(pairs of samples that share a unit), and few such pairs,
    as among few samples, tell only that the samples are spread.

    Args:
        hits: (..., K) counts of N samples.

    Returns:
        (...) float32; NaN for N < 2, infinity if no two samples share a unit (N is too small to tell).

    Example:
        >>> effective_units(torch.tensor([[4, 0, 0], [2, 2, 0], [1, 1, 1]]))
        tensor([1., 3., inf])
    """
    total = hits.sum(-1).double()
    hits = hits.double()
    return (total * (total - 1) / (hits * (hits - 1)).sum(-1)).float()


def dead_units(hits: Tensor) -> Tensor:
    """Share of the units that no sample reaches; neither direction is better: see the expected shares below.

    Args:
        hits: (..., K) counts.

    Returns:
        (...) float32, from 0 to 1; 1 for no samples.

    Example:
        >>> dead_units(torch.tensor([3, 0, 1, 0]))
        tensor(0.5000)
    """
    return (hits == 0).double().mean(-1).float()


def expected_dead_units(samples: int, units: int) -> float:
    """Share of dead units that evenly spread samples leave by chance: (1 - 1/K)^N.

    A map that leaves more has units between its clusters, or is folded; 500 samples leave 73 % of 1,600 units empty.

    Args:
        samples: N, 0 or more.
        units: K, 1 or more.

    Returns:
        From 0 to 1.

    Example:
        >>> round(expected_dead_units(500, 1600), 3)
        0.732
    """
    return (1 - 1 / units) ** samples


def rarefied_dead_units(hits: Tensor, samples: int) -> Tensor:
    """Share of dead units if only some of the samples had been taken, without replacement.

    sum_k C(N - n_k, n) / C(N, n) / K, the complement of rarefaction (Hurlbert 1971, The nonconcept of species
    diversity). It compares splits of different sizes, at the smaller; and of a class of n samples it tells what to
    expect if the map knew nothing of classes: give the counts of all classes together.

    Args:
        hits: (..., K) counts of N samples.
        samples: n, from 0 to N.

    Returns:
        (...) float32, from 0 to 1.

    Raises:
        ValueError: if there are fewer samples than ``samples``.

    Example:
        >>> rarefied_dead_units(torch.tensor([2, 1]), 1)  # one sample reaches one of two units
        tensor(0.5000)
    """
    total = hits.sum(-1, keepdim=True).double()
    if samples < 0 or (total < samples).any():
        raise ValueError(f"samples must be from 0 to the {int(total.min())} that were counted; got samples={samples}")
    rest = total - hits
    missed = rest >= samples
    spare = torch.where(missed, rest - samples, 0.0)
    logs = (
        torch.lgamma(rest + 1) - torch.lgamma(spare + 1) - torch.lgamma(total + 1) + torch.lgamma(total - samples + 1)
    )
    return torch.where(missed, logs.exp(), 0.0).mean(-1).float()


class Hits(Metric):
    """Counts of samples by class and unit; the table that pictures of a map are drawn from.

    Neither direction is better. Metrics that derive from it share one table within a ``MetricCollection``.

    Args:
        num_units: K.
        num_classes: number of classes.

    Raises:
        ValueError: if either number is below 1.

    Example:
        >>> metric = Hits(num_units=3, num_classes=2)
        >>> metric.update(bmu=torch.tensor([0, 2, 2]), label=torch.tensor([0, 1, 1]))
        >>> metric.compute()
        tensor([[1, 0, 0],
                [0, 0, 2]])
    """

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False

    hits: Tensor

    def __init__(self, num_units: int, num_classes: int) -> None:
        super().__init__()
        if num_units < 1 or num_classes < 1:
            raise ValueError(
                f"hits need at least 1 unit and 1 class; got num_units={num_units}, num_classes={num_classes}"
            )
        self.num_units = num_units
        self.num_classes = num_classes
        self.add_state("hits", torch.zeros(num_classes, num_units, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, bmu: Tensor, label: Tensor) -> None:
        """Add samples.

        Args:
            bmu: (B,) int64 units in [0, num_units).
            label: (B,) int64 classes in [0, num_classes).

        Raises:
            ValueError: if the shapes differ, or a label or a unit is out of range.
        """
        self.hits += count_hits(bmu, label, self.num_units, self.num_classes)

    def compute(self) -> Tensor:
        """The table: (num_classes, num_units) int64."""
        return self.hits


class EffectiveUnits(Hits):
    """Effective number of units that all classes together occupy; see :func:`effective_units`.

    From 1 (all samples on one unit) to about K (evenly spread); neither direction is better.

    Args:
        num_units: K.
        num_classes: number of classes.

    Example:
        >>> metric = EffectiveUnits(num_units=3, num_classes=2)
        >>> metric.update(bmu=torch.tensor([0, 0, 2, 2]), label=torch.tensor([0, 1, 1, 1]))
        >>> metric.compute()
        tensor(3.)
    """

    def compute(self) -> Tensor:
        """Effective units: scalar float32; NaN for fewer than 2 samples, infinity without any shared unit."""
        return effective_units(self.hits.sum(0))


class DeadUnits(Hits):
    """Share of the units that no sample of any class reaches; see :func:`dead_units`.

    From 0 to 1; neither direction is better: compare it with :func:`expected_dead_units`.

    Args:
        num_units: K.
        num_classes: number of classes.

    Example:
        >>> metric = DeadUnits(num_units=4, num_classes=2)
        >>> metric.update(bmu=torch.tensor([0, 0, 2]), label=torch.tensor([0, 1, 1]))
        >>> metric.compute()
        tensor(0.5000)
    """

    def compute(self) -> Tensor:
        """The share: scalar float32; 1 for no samples."""
        return dead_units(self.hits.sum(0))


def _check_range(values: Tensor, limit: int, name: str, limit_name: str) -> None:
    outside = values[(values < 0) | (values >= limit)]
    if len(outside):
        remedy = f"check the data or raise {limit_name}"
        if name == "label" and int(outside[0]) == -1:
            remedy = "leave samples without a label out"
        raise ValueError(f"{name} {int(outside[0])} is outside [0, {limit}); {remedy}")

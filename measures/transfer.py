"""How well a class can be read off the map: label transfer from some samples to others.

Each unit names the class that has most samples around it, by the counts of one split smoothed over the lattice with a
Gaussian; the accuracy on another split's counts follows. Samples never name themselves: where there is one split, each
is left out in turn. Counts are held as ``hits`` (C, K). Where classes tie at a unit, each is named with equal chance,
so that a map of one unit, or one without samples, reads what guessing gives.
"""

import torch
from torch import Tensor

from measures.centers import check_hits
from measures.occupancy import Hits
from som.lattice import Lattice, Topology
from som.neighbourhood import neighbourhood_factors, smooth

SIGMA = 1.0
TIE = 1e-12  # of the best score: below it rounding decides


def label_transfer(train: Tensor, test: Tensor, lattice: Lattice, sigma: float = SIGMA) -> Tensor:
    """Accuracy on one split of the classes that another split's samples give to the units; higher is better, up to 1.

    Chance is :func:`chance_accuracy`. For a p-value permute the labels of ``train`` (``measures.permutation_test``).

    Args:
        train: (C, K) counts of the samples that name the units.
        test: (C, K) counts of the samples to be named, on the same map.
        lattice: the map's lattice.
        sigma: width of the smoothing in lattice steps, above 0.

    Returns:
        Scalar float32; samples of a class that ``train`` lacks are never named rightly. NaN without test samples; what
        guessing one of C classes gives without training samples.

    Raises:
        ValueError: if either is not (C, K), their C differ, or ``sigma`` is not above 0.

    Example:
        >>> train, test = torch.tensor([[3, 0, 0, 0], [0, 0, 3, 0]]), torch.tensor([[2, 0, 0, 0], [2, 0, 1, 0]])
        >>> label_transfer(train, test, Lattice(1, 4))
        tensor(0.6000)
    """
    _check_pair(train, test, lattice)
    scores = _smooth(train, lattice, sigma)
    named = scores >= scores.amax(0) * (1 - TIE)
    right = (test * named).sum(0).double() / named.sum(0)
    return (right.sum() / test.sum()).float()


def left_out_transfer(hits: Tensor, lattice: Lattice, sigma: float = SIGMA) -> Tensor:
    """Accuracy of label transfer within one split, each sample left out in turn; higher is better, up to 1.

    Leaving a sample out weakens its own class, so labels that say nothing read below the share of the largest class:
    judge it beside permuted labels only (``measures.class_structure`` does).

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.
        sigma: width of the smoothing in lattice steps, above 0.

    Returns:
        Scalar float32; NaN for no samples or a single class.

    Raises:
        ValueError: if the counts are not (C, K), or ``sigma`` is not above 0.

    Example:
        >>> left_out_transfer(torch.tensor([[2, 0, 0, 0], [1, 0, 2, 0]]), Lattice(1, 4))  # right at unit 2 only
        tensor(0.4000)
    """
    check_hits(hits, lattice)
    hits = hits[hits.sum(1) > 0]
    if len(hits) < 2:
        return torch.tensor(torch.nan, device=hits.device)
    scores = _smooth(hits, lattice, sigma)
    (best, second), (named, _) = scores.topk(2, dim=0)
    # A sample adds 1 to its own class at its own unit. Without it only the best class there can still win, if it leads
    # the second by more than 1; if by 1, it ties with all that are second.
    lead, tie = best - second - 1, TIE * best
    equals = (scores >= second - tie).sum(0)
    chance = torch.where(lead.abs() <= tie, 1 / equals.double(), (lead > 0).double())
    right = hits.gather(0, named[None])[0] * chance
    return (right.sum() / hits.sum()).float()


def chance_accuracy(train: Tensor, test: Tensor) -> Tensor:
    """Accuracy on ``test`` of always naming the most frequent class of ``train``; ties share.

    Args:
        train: (C, K) counts.
        test: (C, K) counts.

    Returns:
        Scalar float32, 1 / C for equal classes; NaN without test samples.
    """
    totals = train.sum(1)
    named = totals == totals.max()
    return (test.sum(1)[named].sum().double() / (named.sum() * test.sum())).float()


class LabelTransfer(Hits):
    """Label transfer within one split, each sample left out in turn; see :func:`left_out_transfer`.

    Higher is better, up to 1 = every class can be read off the map. Judge it beside permuted labels.

    Args:
        rows: rows of the lattice.
        cols: columns of the lattice.
        num_classes: number of classes.
        sigma: width of the smoothing in lattice steps.
        topology: ``"torus"`` or ``"plane"``.

    Example:
        >>> metric = LabelTransfer(rows=1, cols=4, num_classes=2)
        >>> metric.update(bmu=torch.tensor([0, 0, 2, 2, 0]), label=torch.tensor([0, 0, 1, 1, 1]))
        >>> metric.compute()
        tensor(0.4000)
    """

    higher_is_better = True

    def __init__(
        self, rows: int, cols: int, num_classes: int, sigma: float = SIGMA, topology: Topology = "torus"
    ) -> None:
        lattice = Lattice(rows, cols, topology)
        super().__init__(lattice.units, num_classes)
        self.lattice = lattice
        self.sigma = sigma

    def compute(self) -> Tensor:
        """The accuracy: scalar float32; NaN as in :func:`left_out_transfer`."""
        return left_out_transfer(self.hits, self.lattice, self.sigma)


def _smooth(hits: Tensor, lattice: Lattice, sigma: float) -> Tensor:
    factors = neighbourhood_factors("gaussian", lattice, sigma, hits.device, torch.float64)
    return smooth(factors, hits.T.double()).T


def _check_pair(train: Tensor, test: Tensor, lattice: Lattice) -> None:
    check_hits(train, lattice)
    check_hits(test, lattice)
    if len(train) != len(test):
        raise ValueError(f"both splits must count the same classes; got {len(train)} and {len(test)}")

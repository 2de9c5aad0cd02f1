"""How well a score tells one kind of samples from another: the area under the ROC curve, with bootstrap intervals.

AUROC = P(score of a positive > score of a negative) + 1/2 P(they are equal): 0.5 = chance, 1 = all positives score
higher. Samples come in groups (an image, with its changed versions), which the bootstrap draws whole, so that an
interval does not take versions of one image for independent.
"""

import math

import numpy as np
import torch
from torch import Tensor

DRAWS = 500


def auroc(positive: Tensor, negative: Tensor) -> Tensor:
    """Area under the ROC curve; higher is better, 0.5 = chance.

    Args:
        positive: (P,) scores of the positives.
        negative: (N,) scores of the negatives.

    Returns:
        Scalar float32; NaN without positives or negatives.

    Example:
        >>> auroc(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0]))
        tensor(0.8750)
    """
    scores = torch.cat((positive, negative)).double()
    weights = torch.ones(1, len(scores), dtype=torch.float64, device=scores.device)
    return _weighted(scores, len(positive), weights)[0].float()


def auroc_interval(
    positive: Tensor,
    negative: Tensor,
    positive_group: Tensor,
    negative_group: Tensor,
    draws: int = DRAWS,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """AUROC with its percentile interval of a bootstrap over groups.

    Args:
        positive: (P,) scores of the positives, finite.
        negative: (N,) scores of the negatives.
        positive_group: (P,) int64, which image each positive is a version of.
        negative_group: (N,) int64.
        draws: how many samples of groups are drawn.
        seed: of the draws.
        confidence: coverage, between 0 and 1.

    Returns:
        AUROC, lower and upper bound; all NaN without positives or negatives.
    """
    value = float(auroc(positive, negative))
    if math.isnan(value):
        return math.nan, math.nan, math.nan
    group = torch.cat((positive_group, negative_group)).cpu()
    known, member = group.unique(return_inverse=True)
    scores = torch.cat((positive, negative)).double().cpu()
    generator = np.random.default_rng(seed)
    found = []
    size = max(1, 2**22 // max(1, len(scores)))  # draws at a time
    for start in range(0, draws, size):
        count = min(size, draws - start)
        drawn = generator.multinomial(len(known), np.full(len(known), 1 / len(known)), count)
        weights = torch.from_numpy(drawn).double()[:, member]
        found.append(_weighted(scores, len(positive), weights))
    values = torch.cat(found)
    tail = (1 - confidence) / 2
    low, high = values[~values.isnan()].quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return value, low, high


def roc_curve(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1).

    Args:
        positive: (P,) scores of the positives, P >= 1.
        negative: (N,) scores of the negatives, N >= 1.

    Returns:
        Both (T,) float32, one value a distinct score and one more.

    Example:
        >>> roc_curve(torch.tensor([2.0, 3.0]), torch.tensor([1.0]))
        (tensor([0., 0., 0., 1.]), tensor([0.0000, 0.5000, 1.0000, 1.0000]))
    """
    scores = torch.cat((positive, negative)).double()
    order = scores.argsort(descending=True, stable=True)
    is_positive = (torch.arange(len(scores), device=scores.device) < len(positive))[order].double()
    ends = torch.cat((scores[order].diff() != 0, torch.ones(1, dtype=torch.bool, device=scores.device)))
    true, false = is_positive.cumsum(0)[ends], (1 - is_positive).cumsum(0)[ends]
    start = torch.zeros(1, dtype=torch.float64, device=scores.device)
    return torch.cat((start, false / len(negative))).float(), torch.cat((start, true / len(positive))).float()


def _weighted(scores: Tensor, positives: int, weights: Tensor) -> Tensor:
    """AUROC of each row of weights (R, P + N), positives first; (R,) float64, NaN without either kind."""
    order = scores.argsort(stable=True)
    is_positive = (torch.arange(len(scores), device=scores.device) < positives)[order]
    weights = weights[:, order]
    above, below = weights * is_positive, weights * ~is_positive
    # Scores that are equal form a step: each positive counts the negatives before its step, and half of those in it.
    step = torch.cat((torch.zeros(1, dtype=torch.bool, device=scores.device), scores[order].diff() != 0)).cumsum(0)
    steps = int(step[-1]) + 1 if len(scores) else 0
    sums = torch.zeros(2, len(weights), steps, dtype=torch.float64, device=scores.device)
    sums[0].index_add_(1, step, above)
    sums[1].index_add_(1, step, below)
    before = sums[1].cumsum(1) - sums[1]
    won = (sums[0] * (before + sums[1] / 2)).sum(1)
    return won / (above.sum(1) * below.sum(1))

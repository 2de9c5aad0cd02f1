"""Rates of yes-or-no outcomes, such as an attack's successes, and their confidence intervals.

Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22: with p = s/n and z the
normal quantile, center (p + z^2/2n) / (1 + z^2/n), half-width z sqrt(p(1-p)/n + z^2/4n^2) / (1 + z^2/n). Unlike the
normal interval it stays in [0, 1] and keeps its width at 0 and n successes.
"""

import math
from statistics import NormalDist

import torch
from torch import Tensor
from torchmetrics import Metric


def success_rate(success: Tensor) -> Tensor:
    """Share of successes, from 0 to 1; whether high is good depends on what is counted.

    Args:
        success: (N,) bool.

    Returns:
        Scalar float32; NaN for no trials.
    """
    return success.double().mean().float()


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a rate, without continuity correction.

    Args:
        successes: from 0 to ``trials``.
        trials: 0 or more.
        confidence: coverage, between 0 and 1.

    Returns:
        Lower and upper bound, within [0, 1]; (0, 1) for no trials, which tell nothing.

    Raises:
        ValueError: if the counts or the confidence are out of range.

    Example:
        >>> low, high = wilson_interval(8, 10)
        >>> round(low, 4), round(high, 4)
        (0.4902, 0.9433)
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie between 0 and trials; got successes={successes}, trials={trials}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95; got confidence={confidence}")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / trials
    scale = 1 + z**2 / trials
    center = (rate + z**2 / (2 * trials)) / scale
    half = z * math.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2)) / scale
    # At the ends the bounds are 0 and 1 in exact arithmetic, but not in floating point.
    low = 0.0 if successes == 0 else center - half
    high = 1.0 if successes == trials else center + half
    return low, high


class Rate(Metric):
    """Share of successes among trials with its Wilson interval; whether high is good depends on what is counted.

    Args:
        confidence: coverage of the interval, between 0 and 1.

    Example:
        >>> metric = Rate()
        >>> metric.update(success=torch.tensor([True, False, True, True]))
        >>> {name: round(value.item(), 2) for name, value in metric.compute().items()}
        {'rate': 0.75, 'low': 0.3, 'high': 0.95, 'trials': 4}
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    successes: Tensor
    trials: Tensor

    def __init__(self, confidence: float = 0.95) -> None:
        super().__init__()
        self.confidence = confidence
        self.add_state("successes", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("trials", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, success: Tensor) -> None:
        """Add outcomes.

        Args:
            success: (B,) bool.
        """
        self.successes += success.sum()
        self.trials += success.numel()

    def compute(self) -> dict[str, Tensor]:
        """``rate``, ``low`` and ``high`` (scalar float64) and ``trials`` (int64); the rate of no trials is NaN."""
        low, high = wilson_interval(int(self.successes), int(self.trials), self.confidence)
        bounds = {name: torch.tensor(bound, dtype=torch.float64) for name, bound in (("low", low), ("high", high))}
        return {"rate": self.successes.double() / self.trials, **bounds, "trials": self.trials.clone()}

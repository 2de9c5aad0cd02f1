"""Update rules: what prototypes W become when codes with numerator N = H S and denominator d = H n have been seen.

- ``gradient``: w_k += alpha / B (N_k - d_k w_k), the step of plain SGD on the energy (som/energy.py) and Kohonen's
  minibatch rule;
- ``batch``: w_k = N_k / d_k once an epoch, Kohonen's batch map, the diagonal Newton step on the same energy;
- ``ema``: N and d are running averages, N <- (1 - alpha) N + alpha N_b, and w_k = N_k / d_k after every batch; with
  alpha = 1 and B = N it is the batch map.

All three work in any shifted space: with codes and prototypes less a constant, they give the same prototypes less it.
Units that no code reaches keep their prototype.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

Rule = Literal["gradient", "batch", "ema"]
LEAST = 1e-30  # a smaller denominator is no neighbourhood, but an underflow of one


def check_rule(rule: str) -> None:
    """Raise a ValueError that lists the rules, unless ``rule`` is one of them."""
    if rule not in get_args(Rule):
        allowed = ", ".join(repr(name) for name in get_args(Rule))
        raise ValueError(f"rule {rule!r} is unknown; choose one of {allowed}")


def gradient_step(prototypes: Tensor, numerator: Tensor, denominator: Tensor, samples: int, alpha: float) -> None:
    """Move prototypes (K, D) in place by one step of length alpha on the energy of a batch of ``samples`` codes."""
    if samples:
        prototypes.mul_(1 - alpha / samples * denominator[:, None]).add_(numerator, alpha=alpha / samples)


def batch_step(prototypes: Tensor, numerator: Tensor, denominator: Tensor) -> None:
    """Set prototypes (K, D) in place to the neighbourhood-weighted means of the codes."""
    reached = denominator > LEAST
    if reached.all():
        torch.div(numerator, denominator[:, None], out=prototypes)
    else:
        prototypes[reached] = numerator[reached] / denominator[reached, None]


class MovingAverage:
    """The running numerator and denominator of the ``ema`` rule.

    Attributes:
        numerator: (K, D).
        denominator: (K,); 0 before the first step.
    """

    def __init__(self, prototypes: Tensor) -> None:
        self.numerator = torch.zeros_like(prototypes)
        self.denominator = prototypes.new_zeros(len(prototypes))

    def step(self, prototypes: Tensor, numerator: Tensor, denominator: Tensor, samples: int, alpha: float) -> None:
        """Take in the sums of a batch with weight alpha, and set prototypes (K, D) in place.

        The sums are taken as means over the batch's ``samples``, so that a short batch counts as much as a full one.
        """
        if samples:
            self.numerator.mul_(1 - alpha).add_(numerator, alpha=alpha / samples)
            self.denominator.mul_(1 - alpha).add_(denominator, alpha=alpha / samples)
            batch_step(prototypes, self.numerator, self.denominator)

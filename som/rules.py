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
from torch import Tensor, nn

from som.checks import check_name

Rule = Literal["gradient", "batch", "ema"]
LEAST = 1e-30  # a smaller denominator is no neighbourhood, but an underflow of one


def check_rule(rule: str, winner: str, alpha: tuple[float, float]) -> None:
    """Refuse what a rule cannot do.

    Args:
        rule: the rule's name.
        winner: the winner's name; all but "kohonen" are for the gradient rule.
        alpha: learning rate at both ends; the weight of a batch for "ema".

    Raises:
        ValueError: naming what is allowed.
    """
    check_name("rule", rule, get_args(Rule))
    if winner != "kohonen" and rule != "gradient":
        raise ValueError(f"winner {winner!r} needs rule 'gradient'; got rule {rule!r}")
    if rule == "ema" and not all(0 < weight <= 1 for weight in alpha):
        raise ValueError(f"rule 'ema' needs 0 < alpha <= 1, the weight of a batch; got alpha={tuple(alpha)}")


def gradient_step(prototypes: Tensor, numerator: Tensor, denominator: Tensor, samples: int, alpha: float) -> None:
    """Move prototypes (K, D) in place by one step of length alpha on the energy of a batch of ``samples`` codes."""
    if samples:
        prototypes.mul_(1 - alpha / samples * denominator[:, None]).add_(numerator, alpha=alpha / samples)


def dense_gradient_step(prototypes: Tensor, codes: Tensor, weights: Tensor, alpha: float) -> None:
    """The same step for a batch (B, D) of weights h (B, K), without a copy as large as the prototypes."""
    if len(codes):
        prototypes.mul_(1 - alpha / len(codes) * weights.sum(0)[:, None])
        prototypes.addmm_(weights.T, codes, alpha=alpha / len(codes))


def batch_step(prototypes: Tensor, numerator: Tensor, denominator: Tensor) -> None:
    """Set prototypes (K, D) in place to the neighbourhood-weighted means of the codes."""
    reached = denominator > LEAST
    if reached.all():
        torch.div(numerator, denominator[:, None], out=prototypes)
    else:
        prototypes[reached] = numerator[reached] / denominator[reached, None]


class MovingAverage(nn.Module):
    """The running numerator and denominator of the ``ema`` rule.

    Attributes:
        numerator: (K, D) buffer.
        denominator: (K,) buffer; 0 before the first step.
    """

    numerator: Tensor
    denominator: Tensor

    def __init__(self, prototypes: Tensor) -> None:
        super().__init__()
        self.register_buffer("numerator", torch.zeros_like(prototypes, requires_grad=False))
        self.register_buffer("denominator", prototypes.new_zeros(len(prototypes)))

    def step(self, prototypes: Tensor, numerator: Tensor, denominator: Tensor, samples: int, alpha: float) -> None:
        """Take in the sums of a batch with weight alpha, and set prototypes (K, D) in place.

        The sums are taken as means over the batch's ``samples``, so that a short batch counts as much as a full one.
        """
        if samples:
            self.numerator.mul_(1 - alpha).add_(numerator, alpha=alpha / samples)
            self.denominator.mul_(1 - alpha).add_(denominator, alpha=alpha / samples)
            batch_step(prototypes, self.numerator, self.denominator)

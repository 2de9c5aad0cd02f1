"""The energy whose gradient step is Kohonen's rule, and the number that says whether that step is stable.

E = 1/2 mean_b sum_k h(c_b, k) |x_b - w_k|^2 for codes x (B, D), prototypes w (K, D), neighbourhood h and detached
winners c_b. Plain SGD with learning rate alpha on E is the minibatch Kohonen step
w_k += alpha / B sum_b h(c_b, k) (x_b - w_k). Never train with Adam, weight decay or clipping: Adam divides each unit's
factor h out again.

Forwards and backwards need only sums of codes by winner, smoothed over the map one axis at a time, and a gather: no
B x K x D tensor, and no K x K one. With S_c and n_c the sum and the count of the codes whose winner is c,

    dE/dw_k = ((H n)_k w_k - (H S)_k) / B        dE/dx_b = ((H 1)_c x_b - (H W)_c) / B  at c = c_b.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from som.neighbourhood import Factors, neighbourhood_weights, smooth
from som.sums import smoothed_sums


def energy(codes: Tensor, prototypes: Tensor, bmu: Tensor, factors: Factors) -> Tensor:
    """Energy of a batch, differentiable once for prototypes and codes; lower is better, 0 = every code is matched.

    Runs in float32 (float64 for float64 inputs) whatever autocast says. On CUDA the products follow
    ``torch.set_float32_matmul_precision``: leave it at its default, "highest", for float32 to mean float32.

    Args:
        codes: (B, D), B >= 1.
        prototypes: (K, D).
        bmu: (B,) int64 winners c_b.
        factors: the neighbourhood's row factor (rows, rows) and column factor (cols, cols).

    Returns:
        Scalar E.

    Example:
        >>> neighbourhood = torch.ones(1, 1), torch.tensor([[1.0, 0.5], [0.5, 1.0]])
        >>> energy(torch.tensor([[3.0]]), torch.tensor([[1.0], [2.0]]), torch.tensor([1]), neighbourhood)
        tensor(1.5000)
    """
    dtype = torch.promote_types(torch.promote_types(codes.dtype, prototypes.dtype), torch.float32)
    rows, cols = (factor.to(dtype) for factor in factors)
    return _Energy.apply(codes.to(dtype), prototypes.to(dtype), bmu, rows, cols)


class _Energy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, codes: Tensor, prototypes: Tensor, bmu: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            # E does not depend on the origin; its own keeps large offsets from cancelling.
            mean = prototypes.mean(0)
            codes, prototypes = codes - mean, prototypes - mean
            numerator, denominator = smoothed_sums(codes, bmu, (rows, cols))
            pull = (rows.sum(1)[:, None] * cols.sum(1)).flatten()[bmu]  # (H 1) at each winner
            own = torch.dot(pull, codes.square().sum(1))
            cross = torch.linalg.vecdot(numerator.flatten(), prototypes.flatten())
            units = torch.dot(denominator, prototypes.square().sum(1))
            ctx.save_for_backward(codes, prototypes, numerator, denominator, pull, bmu, rows, cols)
            return (own - 2 * cross + units) / (2 * len(codes))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        codes, prototypes, numerator, denominator, pull, bmu, rows, cols = ctx.saved_tensors
        slope = slope / len(codes)
        of_codes = of_prototypes = None
        if ctx.needs_input_grad[0]:
            smoothed = (
                neighbourhood_weights((rows, cols), bmu) @ prototypes
                if len(codes) < len(rows) + len(cols)
                else smooth((rows, cols), prototypes)[bmu]
            )
            of_codes = slope * (pull[:, None] * codes - smoothed)
        if ctx.needs_input_grad[1]:
            of_prototypes = slope * (denominator[:, None] * prototypes - numerator)
        return of_codes, of_prototypes, None, None, None


def stability(denominator: Tensor, samples: int, alpha: float | Tensor) -> Tensor:
    """Stability number of one gradient step on the energy: alpha max_k mean_b h(c_b, k).

    The energy is quadratic in each prototype with curvature mean_b h(c_b, k), so a step of length alpha overshoots
    above 1 and diverges from 2 on. Lower is safer; warn at 1 and stop at 2.

    Args:
        denominator: (K,) sum_b h(c_b, k).
        samples: B.
        alpha: the learning rate.

    Returns:
        Scalar, on the denominator's device: reading it is what waits for the device.

    Example:
        >>> stability(torch.tensor([2.0, 0.5]), samples=2, alpha=0.5)
        tensor(0.5000)
    """
    return alpha * denominator.detach().max() / samples

"""The energy whose gradient step is Kohonen's rule, and the number that says whether that step is stable.

E = 1/2 mean_b sum_k h_bk |x_b - w_k|^2 for codes x (B, D), prototypes w (K, D) and neighbourhood weights h (B, K) of
the detached winners. Plain SGD with learning rate alpha on E is the minibatch Kohonen step
w_k += alpha / B sum_b h_bk (x_b - w_k). Expanding the square gives matrix products only: no B x K x D tensor, forwards
or backwards. Never train with Adam, weight decay or clipping: Adam divides each unit's factor h out again.
"""

import torch
from torch import Tensor


def energy(codes: Tensor, prototypes: Tensor, weights: Tensor) -> Tensor:
    """Energy of a batch, differentiable for prototypes and codes; lower is better, 0 = every weighted code is matched.

    Runs in float32 (float64 for float64 inputs) whatever autocast says. On CUDA the products follow
    ``torch.set_float32_matmul_precision``: leave it at its default, "highest", for float32 to mean float32.

    Args:
        codes: (B, D).
        prototypes: (K, D).
        weights: (B, K) neighbourhood weights h(c_b, k).

    Returns:
        Scalar E. Its gradients are -1/B sum_b h_bk (x_b - w_k) and 1/B sum_k h_bk (x_b - w_k).

    Example:
        >>> energy(torch.tensor([[3.0]]), torch.tensor([[1.0], [2.0]]), torch.tensor([[0.5, 1.0]]))
        tensor(1.5000)
    """
    dtype = torch.promote_types(torch.promote_types(codes.dtype, prototypes.dtype), torch.float32)
    with torch.autocast(codes.device.type, enabled=False):
        codes, prototypes, weights = codes.to(dtype), prototypes.to(dtype), weights.to(dtype)
        # E does not depend on the origin, so m is a constant to autograd; it only keeps large offsets from cancelling.
        mean = prototypes.detach().mean(0)
        codes, prototypes = codes - mean, prototypes - mean
        own = torch.dot(weights.sum(1), codes.square().sum(1))
        cross = (codes * (weights @ prototypes)).sum()
        units = torch.dot(weights.sum(0), prototypes.square().sum(1))
        return (own - 2 * cross + units) / (2 * codes.shape[0])


def stability(weights: Tensor, alpha: float | Tensor) -> Tensor:
    """Stability number of one gradient step on the energy: alpha max_k mean_b h(c_b, k).

    The energy is quadratic in each prototype with curvature mean_b h(c_b, k), so a step of length alpha overshoots
    above 1 and diverges from 2 on. Lower is safer; warn at 1 and stop at 2.

    Args:
        weights: (B, K) neighbourhood weights h(c_b, k).
        alpha: the learning rate.

    Returns:
        Scalar, on the weights' device: reading it is what waits for the device.

    Example:
        >>> stability(torch.tensor([[1.0, 0.5], [1.0, 0.0]]), alpha=0.5)
        tensor(0.5000)
    """
    return alpha * weights.detach().mean(0).max()

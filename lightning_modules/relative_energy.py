"""The curves of a fit, comparable between depths: the energy relative to that of a map of mean codes."""

import torch
from torch import Tensor

import measures
from som import SelfOrganizingMap

__all__ = ["relative_energy"]


@torch.no_grad()
def relative_energy(som: SelfOrganizingMap, codes: Tensor, bmu: Tensor, energy: Tensor, sigma: float) -> Tensor:
    """A batch's energy over that of a map whose every prototype is the batch's mean code; lower is better.

    It compares depths, whatever the dimension and scale of their codes, and widths of the neighbourhood: 1 = the map
    knows no more than the mean; the unexplained share of the variance once the neighbourhood has shrunk to the BMU.

    Args:
        som: the map.
        codes: (B, D) raw codes.
        bmu: (B,) their BMUs.
        energy: the map's energy of them.
        sigma: width of the neighbourhood.

    Returns:
        Scalar float64; NaN for a single code, infinite for equal codes.
    """
    encoded = som.encode(codes).double()
    squares = (encoded - encoded.mean(0)).square().sum()
    rows, cols = som.factors(sigma)
    mass = (rows.sum(1)[:, None] * cols.sum(1)).flatten()[bmu].double().mean()
    return measures.relative_energy(energy.detach(), squares / (len(encoded) - 1), mass)

"""Other readings of the winner: the unit of least energy (Heskes 1999), and all units by their energy (soft).

Kohonen's winner, the BMU, ignores the neighbourhood, so his rule has no energy over the whole space of prototypes.
With e_bk = |x_b - w_k|^2 and the neighbourhood H, the energy of unit c for code b is (H e_b)_c / 2:

- Heskes, "Energy functions for self-organizing maps" (1999): c_b = argmin_c (H e_b)_c, so that the energy is
  continuous in the prototypes;
- soft, the STVQ of Graepel, Burger and Obermayer (1998): F = -1/beta mean_b log sum_c exp(-beta/2 (H e_b)_c).

Both smooth the scores of a batch over the map, K (rows + cols) a code, beside the 2 K D of the scores.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from som.checks import check_name
from som.neighbourhood import Factors, smooth
from som.precision import full_float32

Winner = Literal["kohonen", "heskes", "soft"]
TILE = 2**24  # scores at a time


def check_winner(winner: str) -> None:
    """Raise a ValueError that lists the winners, unless ``winner`` is one of them."""
    check_name("winner", winner, get_args(Winner))


@torch.no_grad()
def heskes_bmus(codes: Tensor, prototypes: Tensor, factors: Factors) -> Tensor:
    """The unit of least energy for each code: argmin_c sum_k h(c, k) |x_b - w_k|^2; ties go to the lower unit.

    Args:
        codes: (B, D).
        prototypes: (K, D).
        factors: row factor (rows, rows) and column factor (cols, cols).

    Returns:
        (B,) int64.
    """
    size = max(1, TILE // len(prototypes))
    with full_float32(codes.device):
        return torch.cat([_unit_energies(part, prototypes, factors).argmin(1) for part in codes.split(size)])


def soft_energy(codes: Tensor, prototypes: Tensor, factors: Factors, beta: float = 1.0) -> Tensor:
    """Free energy of a batch, differentiable for prototypes and codes; lower is better.

    Args:
        codes: (B, D).
        prototypes: (K, D).
        factors: row factor (rows, rows) and column factor (cols, cols).
        beta: inverse temperature, above 0; towards infinity it becomes Heskes' energy.

    Returns:
        Scalar -1/beta mean_b log sum_c exp(-beta/2 sum_k h(c, k) |x_b - w_k|^2).
    """
    energies = _unit_energies(codes, prototypes, factors)
    return -torch.logsumexp(-beta / 2 * energies, dim=1).mean() / beta


def _unit_energies(codes: Tensor, prototypes: Tensor, factors: Factors) -> Tensor:
    """(B, K): sum_k h(c, k) |x_b - w_k|^2 for each code b and unit c."""
    with torch.autocast(codes.device.type, enabled=False):
        mean = prototypes.detach().mean(0)
        codes, prototypes = codes - mean, prototypes - mean
        squared = codes.square().sum(1, keepdim=True) - 2 * codes @ prototypes.T + prototypes.square().sum(1)
        return smooth(factors, squared.T).T

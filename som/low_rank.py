"""Low-rank prototypes: what a batch update with a wide, smooth neighbourhood leaves.

The batch rule sets V = diag(1 / H n) H S (codes centred, so that V is the prototypes less the codes' mean). H is the
Kronecker product of one factor a lattice axis; with their eigenvectors, H = U diag(lambda) U^T, and where the
neighbourhood is smooth (a Gaussian on a plane, a wrapped Gaussian on a torus) all but q of the K eigenvalues are below
float32's rounding. Then V = F P with F = diag(1 / H n) U (K, q) and P = diag(lambda) U^T S (q, D), and a search costs
2 q (D + K) FLOPs a code instead of 2 K D. The Gaussian of the minimum image has a kink, and no such q.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from som.neighbourhood import Factors

FEW = 64  # prototypes that tell in how many dimensions all may lie
LEAST = 1e-7  # eigenvalues below this share of the largest are rounding errors of float32 sums


@dataclass(frozen=True)
class Spectrum:
    """The eigenvectors of a neighbourhood that float32 can tell from nothing.

    Attributes:
        rows: (rows, m) eigenvectors of the row factor, by falling absolute eigenvalue.
        cols: (cols, n) eigenvectors of the column factor.
        values: (m, n) products of the eigenvalues, 0 where a product is negligible.
    """

    rows: Tensor
    cols: Tensor
    values: Tensor

    @property
    def rank(self) -> int:
        """q, the number of pairs that count."""
        return int((self.values != 0).sum())

    def factorise(self, sums: Tensor, denominator: Tensor) -> tuple[Tensor, Tensor]:
        """The factors F and P of the batch update F P.

        Args:
            sums: (K, D) sums S of centred codes by unit.
            denominator: (K,) smoothed counts H n.

        Returns:
            (K, q) and (q, D).
        """
        row, col = self.values.nonzero(as_tuple=True)
        dimensions = sums.shape[1]
        grid = sums.reshape(len(self.rows), -1)
        along_rows = (self.rows.T @ grid).reshape(-1, len(self.cols), dimensions)  # (m, cols, D)
        right = torch.matmul(self.cols.T, along_rows)[row, col] * self.values[row, col, None]
        left = (self.rows[:, None, row] * self.cols[None, :, col]).reshape(-1, len(row))
        return left / denominator[:, None], right


def plane_factors(prototypes: Tensor, origin: Tensor) -> tuple[Tensor, Tensor] | None:
    """Factors F (K, q) and P (q, D) of prototypes that lie in a few dimensions, as a start on principal axes does.

    Args:
        prototypes: (K, D).
        origin: (D,), to be taken off each.

    Returns:
        The factors, or None if the prototypes do not lie in the span of a few of them.
    """
    few = prototypes[:: -(-len(prototypes) // FEW)] - origin
    _, values, vectors = torch.linalg.svd(few, full_matrices=False)
    right = vectors[values > 1e-5 * values[0]]
    if not 0 < len(right) <= FEW // 4:
        return None
    left = prototypes @ right.T - origin @ right.T
    for part, factor in zip(prototypes.split(FEW), left.split(FEW), strict=True):
        part = part - origin
        if torch.linalg.matrix_norm(part - factor @ right) > 1e-5 * torch.linalg.matrix_norm(part):
            return None
    return left, right


def spectrum(factors: Factors) -> Spectrum:
    """Eigenvectors and eigenvalues of a neighbourhood, without those that float32 cannot resolve.

    Args:
        factors: row factor (rows, rows) and column factor (cols, cols), symmetric.

    Returns:
        The spectrum; its rank is K where the neighbourhood is not smooth.
    """
    (row_values, rows), (col_values, cols) = (_eigen(factor) for factor in factors)
    values = row_values[:, None] * col_values
    values = torch.where(values.abs() > LEAST * values.abs().max(), values, 0.0)
    m, n = int((values != 0).any(1).sum()), int((values != 0).any(0).sum())
    dtype = factors[0].dtype
    return Spectrum(rows[:, :m].to(dtype), cols[:, :n].to(dtype), values[:m, :n].to(dtype))


def _eigen(factor: Tensor) -> tuple[Tensor, Tensor]:
    # In float64 on the CPU: a (rows, rows) matrix is small, and devices then agree.
    values, vectors = torch.linalg.eigh(factor.double().cpu())
    order = values.abs().argsort(descending=True)
    return values[order].to(factor.device), vectors[:, order].to(factor.device)

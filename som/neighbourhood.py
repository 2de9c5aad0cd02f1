"""Neighbourhood functions, kept as one small factor per lattice axis.

On a rectangular lattice, torus or plane, the Gaussian h(c, k) = exp(-g(c, k)^2 / (2 sigma^2)) is the product of a
factor over rows (rows, rows) and a factor over columns (cols, cols), because g^2 is a sum over the axes. So a batch
needs only an outer product (B, K), and a smoothing over all K units costs K (rows + cols), not K^2. The Gaussian takes
the minimum image on a torus, as quicksom and TorchSOM do.
"""

import torch
from torch import Tensor

from som.lattice import Lattice

Factors = tuple[Tensor, Tensor]


def gaussian(lattice: Lattice, sigma: float | Tensor, device: torch.device | None = None) -> Factors:
    """Gaussian neighbourhood of width ``sigma``, factor by factor: exp(-d^2 / (2 sigma^2)) for each axis.

    Args:
        lattice: the map's lattice.
        sigma: width in lattice steps, above 0; a float or a 0-dimensional tensor. A tensor's value is not checked,
            since that would wait for the device.
        device: where to make the factors; the tensor's device, or the default device for a float, if None.

    Returns:
        Row factor (rows, rows) and column factor (cols, cols), float32, ones on the diagonals.

    Raises:
        ValueError: if ``sigma`` is a float and not above 0.

    Example:
        >>> rows, cols = gaussian(Lattice(2, 4), sigma=1.0)
        >>> cols[0]
        tensor([1.0000, 0.6065, 0.1353, 0.6065])
    """
    if isinstance(sigma, Tensor):
        device = device or sigma.device
    elif not sigma > 0:
        raise ValueError(f"sigma must be above 0 lattice steps; got sigma={sigma}")
    rows, cols = lattice.axis_distances(device)
    # Dividing before squaring: the square of a tiny sigma underflows to 0, and 0/0 on the diagonal is NaN.
    return torch.exp(-0.5 * (rows / sigma).square()), torch.exp(-0.5 * (cols / sigma).square())


def neighbourhood_weights(factors: Factors, bmu: Tensor) -> Tensor:
    """How strongly each sample pulls each unit: h(c_b, k) for a batch of BMUs.

    Args:
        factors: row factor (rows, rows) and column factor (cols, cols).
        bmu: (B,) int64 unit numbers.

    Returns:
        (B, K); 1 at the BMU itself.
    """
    rows, cols = factors
    width = cols.shape[0]
    return (rows[bmu // width, :, None] * cols[bmu % width, None, :]).flatten(1)


def smooth(factors: Factors, field: Tensor) -> Tensor:
    """Apply the neighbourhood to a field on the map: H @ field, one axis after the other.

    Args:
        factors: row factor (rows, rows) and column factor (cols, cols).
        field: (K, ...) values for each unit, floating point, of the factors' type.

    Returns:
        (K, ...): sum over units c of h(k, c) field[c].
    """
    rows, cols = factors
    grid = field.reshape(rows.shape[0], cols.shape[0], -1)
    return torch.einsum("ri,cj,ijf->rcf", rows, cols, grid).reshape(field.shape)

"""Neighbourhood functions, kept as one small factor per lattice axis.

On a rectangular lattice, torus or plane, each of these is the product of a factor over rows (rows, rows) and a factor
over columns (cols, cols). So a batch needs only an outer product (B, K), and a smoothing over all K units costs
K (rows + cols), not K^2:

- ``gaussian``: exp(-d^2 / (2 sigma^2)), d the distance along the axis; on a torus that of the minimum image, as
  quicksom and TorchSOM take it, with a kink half-way round.
- ``wrapped_gaussian``: on a torus the sum of the Gaussian over all images, scaled to 1 at d = 0; smooth everywhere.
  On a plane it is the Gaussian.
- ``bubble``: 1 within sigma along both axes, 0 beyond.
"""

import math
from typing import Literal, assert_never, get_args

import torch
from torch import Tensor

from som.checks import check_name
from som.lattice import Lattice

Neighbourhood = Literal["gaussian", "wrapped_gaussian", "bubble"]
Factors = tuple[Tensor, Tensor]


def neighbourhood_factors(
    kind: Neighbourhood,
    lattice: Lattice,
    sigma: float | Tensor,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Factors:
    """Neighbourhood of width ``sigma``, factor by factor.

    Args:
        kind: "gaussian", "wrapped_gaussian" or "bubble".
        lattice: the map's lattice.
        sigma: width in lattice steps, above 0; a float or a 0-dimensional tensor. A tensor's value is not checked,
            since that would wait for the device.
        device: where to make the factors; the tensor's device, or the default device for a float, if None.
        dtype: of the factors.

    Returns:
        Row factor (rows, rows) and column factor (cols, cols), ones on the diagonals.

    Raises:
        ValueError: if the kind is unknown, or ``sigma`` is a float and not above 0.

    Example:
        >>> rows, cols = neighbourhood_factors("gaussian", Lattice(2, 4), sigma=1.0)
        >>> cols[0]
        tensor([1.0000, 0.6065, 0.1353, 0.6065])
    """
    check_neighbourhood(kind)
    if isinstance(sigma, Tensor):
        device = device or sigma.device
    elif not sigma > 0:
        raise ValueError(f"sigma must be above 0 lattice steps; got sigma={sigma}")
    rows, cols = (distances.to(dtype) for distances in lattice.axis_distances(device))
    match kind:
        case "gaussian":
            return _gaussian(rows, sigma), _gaussian(cols, sigma)
        case "wrapped_gaussian" if lattice.topology == "torus":
            return _wrapped(rows, sigma, lattice.rows), _wrapped(cols, sigma, lattice.cols)
        case "wrapped_gaussian":
            return _gaussian(rows, sigma), _gaussian(cols, sigma)
        case "bubble":
            return (rows <= sigma).to(dtype), (cols <= sigma).to(dtype)
        case _:
            assert_never(kind)


def check_neighbourhood(kind: str) -> None:
    """Raise a ValueError that lists the neighbourhoods, unless ``kind`` is one of them."""
    check_name("neighbourhood", kind, get_args(Neighbourhood))


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
    along_cols = torch.matmul(cols, grid)  # (rows, cols, F)
    return (rows @ along_cols.flatten(1)).reshape(field.shape)


def _gaussian(distances: Tensor, sigma: float | Tensor) -> Tensor:
    # Dividing before squaring: the square of a tiny sigma underflows to 0, and 0/0 on the diagonal is NaN.
    return torch.exp(-0.5 * (distances / sigma).square())


def _wrapped(distances: Tensor, sigma: float | Tensor, length: int) -> Tensor:
    # From sigma = 1.2 lengths on, all weights are 1 to 1e-12; below, images beyond 6 sigma weigh less than float32
    # resolves, and 8 turns hold them all.
    limit = 1.2 * length
    sigma = sigma.clamp(max=limit) if isinstance(sigma, Tensor) else min(sigma, limit)
    turns = 8 if isinstance(sigma, Tensor) else math.ceil(6 * sigma / length) + 1
    images = torch.arange(-turns, turns + 1, device=distances.device) * length
    sums = _gaussian(distances[..., None] + images, sigma).sum(-1)
    return sums / sums[:1, :1]

"""The subspace near which the prototypes of a map lie.

A neighbourhood of width sigma smooths the prototypes over the map, so that few directions hold most of their length: of
40 x 40 prototypes in 2,560 dimensions some 10 at sigma 7, 40 at sigma 2. They are found by one step of subspace
iteration (Halko, Martinsson and Tropp 2011) that starts from prototypes spread over the map instead of random vectors.
"""

import torch
from torch import Tensor

LOSS = 0.002  # share of the prototypes' root mean square length that may lie outside: few units survive then


def principal_coordinates(vectors: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Coordinates of vectors along the directions that hold most of their length.

    Args:
        vectors: (K, D) float32.
        width: most directions to take, from 1 to K and D.

    Returns:
        Coordinates (K, q) and orthonormal directions (q, D), by falling length, q <= width: as many as leave LOSS of
        the length, or all. What the vectors are beyond them is for the caller to measure.
    """
    spread = torch.linspace(0, len(vectors) - 1, width, device=vectors.device).long()
    directions = _orthonormal(vectors[spread])
    coordinates = vectors @ directions.T
    needed, rotation = _principal(coordinates, vectors)
    if 2 * needed > width:  # the start alone finds a subspace of a few directions only
        directions = _orthonormal(coordinates.T @ vectors)
        coordinates = vectors @ directions.T
        needed, rotation = _principal(coordinates, vectors)
    rotation = rotation[:, :needed]
    return coordinates @ rotation, rotation.T @ directions


def _orthonormal(rows: Tensor) -> Tensor:
    return torch.linalg.qr(rows.T)[0].T


def _principal(coordinates: Tensor, vectors: Tensor) -> tuple[int, Tensor]:
    """How many principal directions (w, w) of the coordinates (K, w) are needed, and these."""
    double = coordinates.double()
    values, rotation = torch.linalg.eigh(double.T @ double)
    values, rotation = values.flip(0), rotation.flip(1)
    # Row by row: the norm of all in float64 would make a copy in float64 of all.
    total = torch.linalg.vector_norm(vectors, dim=1).double().square().sum()
    outside = total - values.cumsum(0)
    needed = int((outside > LOSS**2 * total).sum()) + 1
    return min(needed, len(values)), rotation.to(coordinates.dtype)

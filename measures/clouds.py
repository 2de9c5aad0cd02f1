"""How different two clouds of samples on the map are: energy distance and maximum mean discrepancy (MMD).

Both compare whole distributions, not centers: of two classes, or of one class in two splits (stack the two tables of
one map). With E over pairs of samples, none with itself,

    energy distance = 2 E d(x, y) - E d(x, x') - E d(y, y')       (Szekely and Rizzo 2013)
    MMD^2           = E k(x, x') + E k(y, y') - 2 E k(x, y)       (Gretton et al. 2012)

are 0 on average if and only if the distributions are equal, provided that d is of strictly negative type and k strictly
positive definite. On a torus the lattice distance is neither a valid d (some of its Fourier coefficients are positive,
so that different clouds may read below 0, and opposite ones alike), nor is a Gaussian of it a valid k. So d is the
straight distance between units on the flat torus in four dimensions, L/pi sin(pi |steps| / L) along each axis, equal to
lattice steps when near; and k is the product of von Mises densities of each axis, exp(kappa (cos(2 pi steps / L) - 1))
with kappa = (L / (2 pi sigma))^2, a Gaussian of width sigma when near. On a plane they are the Euclidean distance and
the Gaussian. Estimates are unbiased, so they may lie below 0; they need a null (``measures.permutation_test``).
"""

import math

import torch
from torch import Tensor

from measures.centers import check_hits
from measures.pairs import distance_kernel, frame, pair_means
from som.lattice import Lattice

VALUES = 2**22  # complex numbers in memory at a time


def energy_distances(hits: Tensor, lattice: Lattice) -> Tensor:
    """Energy distance between the clouds of any two classes; higher = more different, about 0 = one distribution.

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.

    Returns:
        (C, C) float64, in lattice steps: symmetric, 0 on the diagonal; NaN for classes of fewer than 2 samples.

    Raises:
        ValueError: if the counts are not (C, K).

    Example:
        >>> energy_distances(torch.tensor([[2, 0, 0, 0], [0, 0, 2, 0]]), Lattice(1, 4, "plane"))
        tensor([[0., 4.],
                [4., 0.]], dtype=torch.float64)
    """
    return _contrast(hits, straight_kernel(lattice, hits.device), lattice)


def mmd(hits: Tensor, lattice: Lattice, sigma: float = 2.0) -> Tensor:
    """Squared MMD between the clouds of any two classes; higher = more different, about 0 = one distribution.

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.
        sigma: width of the kernel in lattice steps, above 0: differences finer than it count less.

    Returns:
        (C, C) float64, at most 2: symmetric, 0 on the diagonal; NaN for classes of fewer than 2 samples.

    Raises:
        ValueError: if the counts are not (C, K), or ``sigma`` is not above 0.
    """
    return -_contrast(hits, von_mises_kernel(lattice, sigma, hits.device), lattice)


def straight_kernel(lattice: Lattice, device: torch.device | None = None) -> Tensor:
    """The d of the energy distance by displacement, (rows', cols') float64 on ``frame(lattice)``."""
    if lattice.topology == "plane":
        return distance_kernel(lattice, device)
    rows, cols = (
        length / math.pi * (torch.arange(length, dtype=torch.float64, device=device) * math.pi / length).sin()
        for length in (lattice.rows, lattice.cols)
    )
    return torch.hypot(rows[:, None], cols)


def von_mises_kernel(lattice: Lattice, sigma: float, device: torch.device | None = None) -> Tensor:
    """The k of the MMD by displacement, (rows', cols') float64 on ``frame(lattice)``; 1 at displacement 0."""
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0 lattice steps; got sigma={sigma}")
    if lattice.topology == "plane":
        return torch.exp(-0.5 * (distance_kernel(lattice, device) / sigma).square())
    rows, cols = (
        (length / (2 * math.pi * sigma)) ** 2
        * ((torch.arange(length, dtype=torch.float64, device=device) * 2 * math.pi / length).cos() - 1)
        for length in (lattice.rows, lattice.cols)
    )
    return torch.exp(rows[:, None] + cols)


def _contrast(hits: Tensor, kernel: Tensor, lattice: Lattice) -> Tensor:
    """2 E g(x, y) - E g(x, x') - E g(y, y') for any two classes, (C, C)."""
    grid = check_hits(hits, lattice)
    within = pair_means(hits, kernel[None], lattice)[0].within
    if not len(hits):
        return grid.new_zeros(0, 0)
    shares = grid / grid.sum((1, 2), keepdim=True)
    wide = frame(lattice)
    size, transform = (wide.rows, wide.cols), torch.fft.rfft2(kernel).real
    rows = []
    for part in shares.split(max(1, VALUES // wide.units)):
        fields = torch.fft.irfft2(torch.fft.rfft2(part, s=size) * transform, s=size)
        rows.append(fields[:, : lattice.rows, : lattice.cols].flatten(1) @ shares.flatten(1).T)
    contrast = 2 * torch.cat(rows) - within[:, None] - within
    contrast = (contrast + contrast.T) / 2
    return contrast.fill_diagonal_(0.0).masked_fill_(within.isnan()[:, None] | within.isnan(), torch.nan)

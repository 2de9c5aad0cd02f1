"""Alignment of two maps: which unit of one corresponds to which unit of the other.

A map's energy knows no direction: two fits of equal codes may differ by a flip of the rows or of the columns, on a
square lattice by a transposition, and on a torus by any shift. These are 4 or 8 orientations times K shifts, all
compared at once: since they only permute the prototypes, the mean squared distance to the reference R falls as the sum
of products with it grows, and for all shifts of a map M that sum is a circular cross-correlation, the inverse Fourier
transform of F(R) conj F(M) summed over dimensions. A flip turns round a frequency, so both maps are transformed once,
and M once more if it may be transposed: O(D K log K), a few dimensions at a time.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from som.checks import check_finite, check_prototypes
from som.lattice import Lattice

VALUES = 2**20  # float64 numbers of each map in memory at a time
TIE = 1e-12  # of the largest possible score: below it the transforms' rounding decides


@dataclass(frozen=True)
class Alignment:
    """How units move for one map to match another: transposed, then flipped, then shifted.

    Args:
        lattice: the lattice of both maps.
        transpose: whether rows and columns change places.
        flip_rows: whether the order of the rows is reversed.
        flip_cols: whether the order of the columns is reversed.
        shift: rows down and columns to the right, across the seams, in [0, rows) and [0, cols).
        mean_squared_distance: mean over units of the squared distance between corresponding prototypes; lower is
            better, 0 = equal maps.

    Example:
        >>> alignment = Alignment(Lattice(2, 3), False, False, True, shift=(1, 0), mean_squared_distance=0.0)
        >>> alignment.units(torch.tensor([0, 4]))
        tensor([5, 1])
        >>> alignment.field(torch.tensor([10, 11, 12, 13, 14, 15]))
        tensor([15, 14, 13, 12, 11, 10])
    """

    lattice: Lattice
    transpose: bool
    flip_rows: bool
    flip_cols: bool
    shift: tuple[int, int]
    mean_squared_distance: float

    def units(self, units: Tensor) -> Tensor:
        """Move units.

        Args:
            units: (...) int64 units of the moving map in [0, K), such as BMUs.

        Returns:
            (...) int64, the corresponding units of the reference.
        """
        row, col = self.lattice.coordinates(units).unbind(-1)
        if self.transpose:
            row, col = col, row
        rows, cols = self.lattice.rows, self.lattice.cols
        row = (rows - 1 - row if self.flip_rows else row) + self.shift[0]
        col = (cols - 1 - col if self.flip_cols else col) + self.shift[1]
        return row % rows * cols + col % cols

    def field(self, field: Tensor) -> Tensor:
        """Move a field.

        Args:
            field: (K, ...) values at the units of the moving map, such as prototypes, hits or labels.

        Returns:
            (K, ...) the same values at the corresponding units of the reference.

        Raises:
            ValueError: if there is not one value for each unit.
        """
        if len(field) != self.lattice.units:
            raise ValueError(f"a field must be ({self.lattice.units}, ...) on this map; got shape {tuple(field.shape)}")
        moved = torch.empty_like(field)
        moved[self.units(torch.arange(len(field), device=field.device))] = field
        return moved


@torch.no_grad()
def align_maps(moving: Tensor, reference: Tensor, lattice: Lattice) -> Alignment:
    """Find how one map moves to match another best.

    All flips are tried, on a square lattice with and without transposition, on a torus with all shifts. Where several
    match equally well, to rounding, the first is taken: not transposed before transposed, not flipped before flipped,
    small shifts before large ones; so equal maps stay as they are.

    Args:
        moving: (K, D) prototypes of the map to move, finite.
        reference: (K, D) prototypes of the map that stays, finite, in the same space.
        lattice: the lattice of both.

    Returns:
        The alignment; the least mean squared distance of all, computed from differences in float64.

    Raises:
        ValueError: if either is not (K, D) or not finite, or their D differ.

    Example:
        >>> reference = torch.tensor([[0.0], [1.0], [5.0], [2.0]])
        >>> alignment = align_maps(reference.roll(1, 0), reference, Lattice(1, 4))
        >>> alignment.shift, alignment.mean_squared_distance
        ((0, 3), 0.0)
    """
    for prototypes in (moving, reference):
        check_prototypes(prototypes, lattice)
        check_finite(prototypes)
    if moving.shape != reference.shape:
        shapes = f"{tuple(moving.shape)} and {tuple(reference.shape)}"
        raise ValueError(f"maps to align must have prototypes in one space; got shapes {shapes}")
    scores, largest = _scores(moving, reference, lattice)
    if lattice.topology == "plane":
        scores = scores[:, :1, :1]  # no shift
    best = int((scores >= scores.max() - TIE * largest).flatten().byte().argmax())
    orientation, shift = divmod(best, scores[0].numel())
    transpose, flip_rows, flip_cols = (bool(orientation & bit) for bit in (4, 2, 1))
    found = Alignment(lattice, transpose, flip_rows, flip_cols, divmod(shift, scores.shape[2]), 0.0)
    return replace(found, mean_squared_distance=_mean_squared_distance(found, moving, reference))


def _scores(moving: Tensor, reference: Tensor, lattice: Lattice) -> tuple[Tensor, float]:
    """Sums of products with the reference, (4 or 8 orientations, rows, cols) by shift, and the bound of any of them."""
    rows, cols = lattice.rows, lattice.cols
    width = max(1, VALUES // lattice.units)
    spectra = torch.zeros(
        8 if rows == cols else 4, rows, cols // 2 + 1, dtype=torch.complex128, device=reference.device
    )
    squares = torch.zeros(2, dtype=torch.float64, device=reference.device)
    for ours, theirs in zip(moving.split(width, dim=1), reference.split(width, dim=1), strict=True):
        # Centred: a sum of products hides small differences under a large offset that all prototypes share.
        grids = [(part.double() - part.double().mean(0)).T.unflatten(1, (rows, cols)) for part in (ours, theirs)]
        squares += torch.stack([grid.square().sum() for grid in grids])
        target = torch.fft.rfft2(grids[1])
        for first, grid in zip(range(0, len(spectra), 4), (grids[0], grids[0].mT), strict=False):
            spectra[first : first + 4] += _cross_spectra(torch.fft.rfft2(grid), target)
    scores = torch.fft.irfft2(spectra, s=(rows, cols)).unflatten(0, (-1, 2, 2))
    # The spectra are those of negated rows and columns, i -> -i: the reversal i -> L - 1 - i, shifted by 1.
    scores[:, 1] = scores[:, 1].roll(1, -2)
    scores[:, :, 1] = scores[:, :, 1].roll(1, -1)
    return scores.flatten(0, 2), float(squares.prod().sqrt())


def _cross_spectra(moving: Tensor, reference: Tensor) -> Tensor:
    """Cross spectra (4, rows, h), summed over dimensions, with none, the columns, the rows, or both axes negated."""
    rows = torch.arange(moving.shape[1], device=moving.device)
    negated = moving[:, -rows % len(rows)]  # a real field's spectrum at (-i, j) is the conjugate of that at (i, -j)
    factors = (moving.conj(), negated, negated.conj(), moving)
    return torch.stack([(reference * factor).sum(0) for factor in factors])


def _mean_squared_distance(alignment: Alignment, moving: Tensor, reference: Tensor) -> float:
    target = alignment.units(torch.arange(len(moving), device=moving.device))
    total = torch.zeros((), dtype=torch.float64, device=moving.device)
    height = max(1, VALUES // moving.shape[1])
    for part, units in zip(moving.split(height), target.split(height), strict=True):
        total += (part.double() - reference[units].double()).square().sum()
    return float(total / len(moving))

"""Refusals of codes that would poison a map: the wrong shape, or values that are not finite or too large."""

import torch
from torch import Tensor

from som.lattice import Lattice

LARGEST = 1e15  # absolute value in a code: float32 holds the sum of 10^8 such numbers squared


def check_name(what: str, name: str, allowed: tuple[str, ...]) -> None:
    """Raise a ValueError that lists the allowed names, unless ``name`` is one of them."""
    if name not in allowed:
        raise ValueError(f"{what} {name!r} is unknown; choose one of {', '.join(map(repr, allowed))}")


def check_shape(codes: Tensor, dimensions: int) -> None:
    """Refuse codes that are not (N, D).

    Args:
        codes: anything that should be (N, D).
        dimensions: D.

    Raises:
        ValueError: naming the shape, or both dimensions.
    """
    if codes.ndim != 2:
        raise ValueError(f"codes must be (samples, dimensions); got shape {tuple(codes.shape)}")
    if codes.shape[1] != dimensions:
        raise ValueError(
            f"codes have {codes.shape[1]} dimensions but the map was made for {dimensions}; make it with "
            f"dimensions={codes.shape[1]}"
        )


def check_finite(codes: Tensor, first: int = 0) -> None:
    """Refuse codes with a NaN or an infinity; one reduction, and one wait for the device.

    Args:
        codes: (N, D).
        first: number of the first row, where the codes are part of more.

    Raises:
        ValueError: naming the first such row.

    Example:
        >>> check_finite(torch.tensor([[0.0], [float("nan")]]))
        Traceback (most recent call last):
        ...
        ValueError: codes must be finite; row 1 holds NaN or infinity (1 of 2 rows do): check its input and the backbone
    """
    # A sum costs far less than asking every number; it is finite unless one of them is not, or the sum overflows.
    if torch.isfinite(codes.sum()):
        return
    finite = torch.isfinite(codes)
    if finite.all():
        return
    rows = (~finite).flatten(1).any(1).nonzero().flatten()
    raise ValueError(
        f"codes must be finite; row {first + int(rows[0])} holds NaN or infinity ({len(rows)} of {len(codes)} rows "
        "do): check its input and the backbone"
    )


def check_codes(codes: Tensor, first: int = 0) -> None:
    """Refuse codes that a map cannot take: NaN, infinity, or numbers that float32 cannot square.

    Args:
        codes: (N, D) floating point.
        first: number of the first row, where the codes are part of more.

    Raises:
        ValueError: naming the first such row.
    """
    numbers = codes.detach().flatten()
    # One pass without a copy; NaN is not below anything.
    if torch.dot(numbers, numbers) <= LARGEST**2:
        return
    check_finite(codes, first)
    rows = (codes.abs() > LARGEST).any(1).nonzero().flatten()
    if len(rows):
        raise ValueError(
            f"codes must be at most {LARGEST:g} in absolute value, or sums of their squares overflow float32; row "
            f"{first + int(rows[0])} holds more ({len(rows)} of {len(codes)} rows do): bring them to another unit"
        )


def check_prototypes(prototypes: Tensor, lattice: Lattice) -> None:
    """Refuse prototypes that are not (K, D) for the lattice, naming the shape and the lattice."""
    if prototypes.ndim != 2 or len(prototypes) != lattice.units:
        raise ValueError(
            f"prototypes must be (K, D) with K = {lattice.units} for a {lattice.rows} x {lattice.cols} lattice; got "
            f"shape {tuple(prototypes.shape)}: give the lattice of the same map"
        )


def check_units(units: Tensor, lattice: Lattice) -> None:
    """Refuse units that are not numbers of the lattice, naming the first; waits for the device."""
    outside = units[(units < 0) | (units >= lattice.units)]
    if len(outside):
        raise ValueError(
            f"unit {int(outside[0])} is outside [0, {lattice.units}), the units of a {lattice.rows} x {lattice.cols} "
            "lattice: give the lattice of the map that the units come from"
        )

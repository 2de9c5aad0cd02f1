"""How prototypes start: from codes, at random, on the plane of the codes' principal directions, or as given.

Randomness comes from the generator alone, on the CPU whatever the device, so that devices and processes agree.
"""

import math
from typing import Literal, assert_never, get_args

import torch
from torch import Generator, Tensor

from som.checks import check_name
from som.lattice import Lattice

InitialMethod = Literal["sample", "random", "normal", "pca"]
ENOUGH = 512  # codes for principal directions in more dimensions than that


def initial_prototypes(
    codes: Tensor, lattice: Lattice, method: InitialMethod = "sample", generator: Generator | None = None
) -> Tensor:
    """Prototypes to start from.

    Args:
        codes: (N, D) float32, N >= 1, finite.
        lattice: the map's lattice of K units.
        method: ``"sample"``: K codes without replacement if N >= K, otherwise every code at least once; ``"random"``:
            normal numbers with the codes' mean and standard deviation in each dimension; ``"normal"``: standard normal
            numbers, as quicksom starts; ``"pca"``: on a plane, the plane of the two largest principal directions, one
            an axis, from -1 to 1 standard deviation; on a torus, a circle of one standard deviation in the first and
            third direction for the rows, in the second and fourth for the columns, so that opposite edges meet.
        generator: source of randomness; the global generator if None. ``"pca"`` needs none.

    Returns:
        (K, D) float32.

    Raises:
        ValueError: if there are no codes, or the method is unknown.

    Example:
        >>> codes = torch.tensor([[-3.0, 0.0], [3.0, 0.0]])
        >>> initial_prototypes(codes, Lattice(1, 3, "plane"), "pca")
        tensor([[-3.,  0.],
                [ 0.,  0.],
                [ 3.,  0.]])
    """
    check_initial(method)
    if len(codes) == 0:
        raise ValueError("a map needs at least 1 code to start from; got 0")
    match method:
        case "sample":
            rounds = -(-lattice.units // len(codes))
            order = torch.cat([torch.randperm(len(codes), generator=generator) for _ in range(rounds)])
            return codes[order[: lattice.units].to(codes.device)]
        case "normal":
            return torch.randn(lattice.units, codes.shape[1], generator=generator).to(codes.device)
        case "random":
            noise = torch.randn(lattice.units, codes.shape[1], generator=generator).to(codes.device)
            # The population's deviation: that of a single code is 0, not NaN.
            return noise.mul_(codes.std(0, correction=0)).add_(codes.mean(0))
        case "pca":
            return _principal(codes, lattice)
        case _:
            assert_never(method)


def check_initial(method: str) -> None:
    """Raise a ValueError that lists the methods, unless ``method`` is one of them."""
    check_name("initial method", method, get_args(InitialMethod))


def _principal(codes: Tensor, lattice: Lattice) -> Tensor:
    mean = codes.mean(0)
    directions = _principal_directions(codes - mean, 4)
    if lattice.topology == "plane":
        # The longer axis takes the larger direction.
        row, col = (0, 1) if lattice.rows >= lattice.cols else (1, 0)
        rows = _line(lattice.rows, codes.device) * directions[row]
        cols = _line(lattice.cols, codes.device) * directions[col]
    else:
        rows, cols = _circle(lattice.rows, directions[[0, 2]]), _circle(lattice.cols, directions[[1, 3]])
    return (mean + rows[:, None] + cols).flatten(0, 1)


def _line(length: int, device: torch.device) -> Tensor:
    return torch.linspace(-1, 1, length, device=device)[:, None] if length > 1 else torch.zeros(1, 1, device=device)


def _circle(length: int, directions: Tensor) -> Tensor:
    if length == 1:
        return directions.new_zeros(1, directions.shape[1])
    angle = torch.arange(length, device=directions.device)[:, None] * (2 * math.pi / length)
    return angle.cos() * directions[0] + angle.sin() * directions[1]


def _principal_directions(centred: Tensor, count: int) -> Tensor:
    """(count, D): the principal directions, as long as the standard deviation along them; zeros beyond the rank."""
    samples, dimensions = centred.shape
    wide = dimensions > min(samples, ENOUGH)
    if wide and samples > ENOUGH:
        centred = centred[:: -(-samples // ENOUGH)]
        samples = len(centred)
    # The smaller of the two products of the codes with themselves, in float64: exact, and no randomness.
    double = centred.double()
    values, vectors = torch.linalg.eigh(double @ double.T if wide else double.T @ double)
    values, vectors = values.flip(0)[:count].clamp(min=0), vectors.flip(1)[:, :count]
    if wide:
        vectors = double.T @ vectors / values.sqrt().clamp(min=torch.finfo(torch.float64).tiny)
    vectors = torch.where(values > 1e-12 * values[0].clamp(min=1e-300), vectors, 0.0)
    # An eigenvector's sign is arbitrary: its largest entry is made positive, so that machines agree.
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    directions = (vectors * signs * (values / samples).sqrt()).T.float()
    return torch.cat((directions, directions.new_zeros(count - len(directions), dimensions)))

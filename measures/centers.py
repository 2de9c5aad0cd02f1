"""Where on the map a class sits: intrinsic centers, the paper's, and the best single unit.

On a torus the mean of raw coordinates depends on where the map was cut open. The intrinsic (Frechet) mean does not: it
is the point of least mean squared torus distance to the samples (Frechet 1948). That distance separates by axis, and on
a circle of length L the least is found exactly (Hotz and Huckemann 2015, Intrinsic means on the circle): any mean is
that of the samples laid out along a line from one of L cuts. With a class's counts h_k along the axis, W = sum_k h_k,
M1 = sum_k k h_k, M2 = sum_k k^2 h_k, and the running sums c0_j of h_k and c1_j of k h_k over k <= j, the cut behind
position j gives

    mu_j = (M1 + L c0_j) / W        V_j = (M2 + 2 L c1_j + L^2 c0_j) / W - mu_j^2,

and the center is mu_j mod L for the j of least V_j, its variance. All classes are solved at once. Counts are held as
``hits`` (C, K) of C classes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from som.lattice import Lattice

SIGNIFICANCE = 0.05  # of Rayleigh's test, below which an axis has a preferred direction
ERRORS = 2  # standard errors that the next best center must be worse by
APART = 1 / 8  # of the way round: nearer local minima are ripples about one center


@dataclass(frozen=True)
class ClassCenters:
    """Intrinsic centers of C classes; rows before columns, lattice steps, float64. NaN for a class without samples.

    Args:
        center: (C, 2), in [0, rows) x [0, cols) on a torus.
        variance: (C, 2) mean squared distance from the center along each axis; 0 = all samples in one row or column.
        resultant: (C, 2) length of the mean unit vector round each axis, from 0 (no direction) to 1 (one row or
            column); NaN on a plane.
        gap: (C, 2) by how much the variance about the next best center is larger: the least of the local minima more
            than an eighth of the way round apart; infinite if there is none, as on a plane.
        ambiguous: (C,) whether the samples leave open where the center is: on some axis, the gap is below 2 standard
            errors, or Rayleigh's test finds no direction (p > 0.05), as it does for fewer than 3 samples. Read such a
            center as "spread over the map". Always true without samples; never on a plane.
    """

    center: Tensor
    variance: Tensor
    resultant: Tensor
    gap: Tensor
    ambiguous: Tensor


def class_centers(hits: Tensor, lattice: Lattice) -> ClassCenters:
    """Intrinsic center of each class; on a plane the mean.

    Rolling the map moves the centers with it, unless two minima tie: then either is a center, the first is returned,
    and the class is ambiguous.

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.

    Returns:
        The centers, with what tells whether to trust them.

    Raises:
        ValueError: if the counts are not (C, K).

    Example:
        >>> hits = torch.tensor([[2, 0, 0, 0, 0, 2]])  # across the seam
        >>> class_centers(hits, Lattice(1, 6)).center
        tensor([[0.0000, 5.5000]], dtype=torch.float64)
        >>> paper_naive_centers(hits, Lattice(1, 6))
        tensor([[0.0000, 2.5000]], dtype=torch.float64)
    """
    grid = check_hits(hits, lattice)
    axis = _circle if lattice.topology == "torus" else _line
    rows, cols = axis(grid.sum(2)), axis(grid.sum(1))
    center, variance, resultant, gap, ambiguous = (torch.stack(pair, dim=1) for pair in zip(rows, cols, strict=True))
    return ClassCenters(center, variance, resultant, gap, ambiguous.any(1))


def paper_naive_centers(hits: Tensor, lattice: Lattice) -> Tensor:
    """Mean of the raw coordinates of each class's samples: for comparison with the paper only.

    The paper takes the center of mass on the unfolded 3 x 3 map. Over all nine copies the offsets cancel, so it is the
    mean of raw coordinates, and depends on where the torus was cut: a compact class across a seam gets a center half a
    map away. Use :func:`class_centers`.

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.

    Returns:
        (C, 2) float64, row and column; NaN for a class without samples.

    Raises:
        ValueError: if the counts are not (C, K).
    """
    grid = check_hits(hits, lattice)
    return torch.stack((_line(grid.sum(2))[0], _line(grid.sum(1))[0]), dim=1)


def medoid_units(hits: Tensor, lattice: Lattice) -> Tensor:
    """Unit of least mean squared lattice distance to the samples of each class, on torus or plane.

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.

    Returns:
        (C,) int64, the first unit where several tie; -1 for a class without samples.

    Raises:
        ValueError: if the counts are not (C, K).

    Example:
        >>> medoid_units(torch.tensor([[2, 1, 0, 0, 0, 3], [0, 0, 0, 0, 0, 0]]), Lattice(1, 6))
        tensor([ 0, -1])
    """
    grid = check_hits(hits, lattice)
    rows, cols = (steps.double().square() for steps in lattice.axis_distances(hits.device))
    # Squared distances add up over the axes, so each axis has a best position of its own; sums of integers are exact.
    row, col = (grid.sum(2) @ rows).argmin(1), (grid.sum(1) @ cols).argmin(1)
    return torch.where(grid.sum((1, 2)) > 0, row * lattice.cols + col, -1)


def check_counts(hits: Tensor, lattice: Lattice) -> None:
    """Refuse what cannot be counts; it looks at every number, so once for each table that comes from outside.

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.

    Raises:
        ValueError: if they are no tensor, not (C, K), or not whole numbers from 0.
    """
    if not isinstance(hits, Tensor):
        raise ValueError(f"hits must be a tensor of counts, got a {type(hits).__name__}: give torch.as_tensor(hits)")
    check_hits(hits, lattice)
    wrong = hits[~(hits.isfinite() & (hits >= 0) & (hits == hits.floor()))]
    if len(wrong):
        raise ValueError(f"hits must be counts, whole numbers from 0; got {wrong[0].item()}: give what was counted")


def check_hits(hits: Tensor, lattice: Lattice) -> Tensor:
    """Lay counts out on the lattice, (C, rows, cols) float64, or raise a ValueError that names the shape."""
    if hits.ndim != 2 or hits.shape[1] != lattice.units:
        raise ValueError(
            f"hits must be (classes, {lattice.units}) on a {lattice.rows} x {lattice.cols} lattice; got shape "
            f"{tuple(hits.shape)}: give the counts and the lattice of one map"
        )
    return hits.double().view(-1, lattice.rows, lattice.cols)


Axis = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Center, variance, resultant, gap and ambiguity along one axis, each (C,)."""


def _line(counts: Tensor) -> Axis:
    position = torch.arange(counts.shape[1], dtype=counts.dtype, device=counts.device)
    total = counts.sum(1)
    center = counts @ position / total
    variance = (counts * (position - center[:, None]).square()).sum(1) / total
    nothing = torch.full_like(center, torch.nan)
    return center, variance, nothing, torch.where(total > 0, torch.inf, nothing), total == 0


def _circle(counts: Tensor) -> Axis:
    length = counts.shape[1]
    position = torch.arange(length, dtype=counts.dtype, device=counts.device)
    total = counts.sum(1, keepdim=True)
    before, before_moment = counts.cumsum(1), (counts * position).cumsum(1)  # c0 and c1
    moment = before_moment[:, -1:] + length * before  # W mu
    mean = moment / total
    second = (counts * position.square()).sum(1, keepdim=True)
    variance = (second + 2 * length * before_moment + length**2 * before) / total - mean.square()
    best = variance.argmin(1, keepdim=True)
    center, least = mean.gather(1, best), variance.gather(1, best).clamp(min=0)

    apart = torch.remainder(mean - center + length / 2, length) - length / 2
    local = _is_local_minimum(counts, moment, total) & (apart.abs() > APART * length)
    following, index = torch.where(local, variance, torch.inf).min(1, keepdim=True)
    gap = following - least
    loss = _squares(position, mean.gather(1, index), length) - _squares(position, center, length)
    error = ((counts * (loss - gap).square()).sum(1, keepdim=True) / total).sqrt() / total.sqrt()
    unsettled = torch.where(gap.isfinite(), gap <= ERRORS * error, False)

    angle = position * (2 * math.pi / length)
    resultant = torch.hypot(counts @ angle.cos(), counts @ angle.sin()) / total[:, 0]
    undirected = (_rayleigh(total[:, 0], resultant) > SIGNIFICANCE) & (length > 1)
    center, least, gap = (value[:, 0] for value in (torch.remainder(center, length), least, gap))
    empty = total[:, 0] == 0
    return center, least, resultant, torch.where(empty, torch.nan, gap), unsettled[:, 0] | undirected | empty


def _is_local_minimum(counts: Tensor, moment: Tensor, total: Tensor) -> Tensor:
    """Whether mu_j lies where the cut j is opposite, (C, L): between the antipodes of positions j and j + 1.

    There the mean squared distance is the parabola about mu_j; elsewhere it is another. At an antipode itself the
    parabolas meet in a peak, unless no sample is there. All numbers are integers or halves, so comparisons are exact.
    """
    length = counts.shape[1]
    position = torch.arange(length, dtype=counts.dtype, device=counts.device)
    past = moment - total * (position + length / 2)
    left = (past > 0) | ((past == 0) & (counts == 0))
    right = (past < total) | ((past == total) & (counts.roll(-1, 1) == 0))
    return left & right


def _squares(position: Tensor, center: Tensor, length: int) -> Tensor:
    """Squared distances round the circle, (C, L)."""
    steps = torch.remainder(position - center + length / 2, length) - length / 2
    return steps.square()


def _rayleigh(samples: Tensor, resultant: Tensor) -> Tensor:
    """P-value of Rayleigh's test that there is no direction, by the approximation in Zar, Biostatistical Analysis."""
    excess = samples.square() * (1 - resultant.square()).clamp(min=0)
    return torch.exp((1 + 4 * samples + 4 * excess).sqrt() - (1 + 2 * samples))

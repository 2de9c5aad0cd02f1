"""How far apart on the map two samples of one class lie, and two of different classes: D_in and D_out.

No center is needed. For any function g of the displacement between two units, the sum over pairs of samples with counts
h and h' is sum_uv h_u g(u - v) h'_v. On a torus that is a sum over frequencies, of F(h) conj F(h') times the transform
of g (the correlation theorem), so all pairs of a class cost one fast Fourier transform; a plane is laid into a torus
twice as large, where its displacements do not wrap. Pairs of a sample with itself are taken out exactly. With counts
``hits`` (C, K) and N_c samples of class c,

    within_c = (sum_uv h_cu g(u - v) h_cv - N_c g(0)) / (N_c (N_c - 1)),
    between = mean over ordered pairs c != c' of sum_uv h_cu g(u - v) h_c'v / (N_c N_c').

Both are U-statistics: unbiased at any number of samples. Labels that say nothing make them equal on average.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from measures.centers import check_hits
from measures.occupancy import Hits
from som.lattice import Lattice, Topology

VALUES = 2**17  # complex numbers in memory at a time: few enough to stay in cache
ROUNDING = 1e-13  # of a kernel's largest value: below it the transforms' rounding decides


@dataclass(frozen=True)
class PairMeans:
    """Mean of a function of the displacement over pairs of samples.

    Args:
        within: (C,) float64, over pairs of one class; NaN for a class of fewer than 2 samples.
        between: scalar float64, over pairs of different classes, each pair of classes weighing the same; NaN for fewer
            than 2 classes with samples.
    """

    within: Tensor
    between: Tensor

    @property
    def mean_within(self) -> Tensor:
        """Scalar float64: mean over the classes of 2 or more samples; NaN if there is none."""
        return self.within.nanmean()


def pair_distances(hits: Tensor, lattice: Lattice) -> PairMeans:
    """Mean lattice distance between two samples of one class (D_in) and of different classes (D_out).

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.

    Returns:
        The means, in lattice steps; neither direction is better for each alone.

    Raises:
        ValueError: if the counts are not (C, K).

    Example:
        >>> means = pair_distances(torch.tensor([[1, 1, 0, 0], [0, 0, 0, 2]]), Lattice(1, 4))
        >>> means.within.round(decimals=4), means.between
        (tensor([1., 0.], dtype=torch.float64), tensor(1.5000, dtype=torch.float64))
    """
    return pair_means(hits, distance_kernel(lattice, hits.device)[None], lattice)[0]


def distance_ratio(hits: Tensor, lattice: Lattice) -> Tensor:
    """D_in / D_out: lower = classes are compact and apart; 1 = the map knows nothing of the classes.

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.

    Returns:
        Scalar float32, 0 or more; NaN without a class of 2 samples, with fewer than 2 classes, or with all samples on
        one unit.
    """
    means = pair_distances(hits, lattice)
    return (means.mean_within / means.between).float()


def pair_means(hits: Tensor, kernels: Tensor, lattice: Lattice) -> list[PairMeans]:
    """Means over pairs of samples of functions of their displacement.

    Args:
        hits: (C, K) counts by class and unit.
        kernels: (G, rows', cols') float64, non-negative symmetric functions of the displacement on :func:`frame` of
            the lattice, displacement 0 first.
        lattice: the map's lattice.

    Returns:
        G results.

    Raises:
        ValueError: if the counts are not (C, K).
    """
    grid = check_hits(hits, lattice)
    grid = grid[grid.sum((1, 2)) > 0]
    counts = hits.sum(1).double()
    totals = counts[counts > 0]
    wide = frame(lattice)
    weights = _frequency_weights(wide, hits.device)
    transforms = (torch.fft.rfft2(kernels).real * weights).flatten(1).T / wide.units  # (F, G)
    sums, own, mass = [], kernels.new_zeros(len(kernels)), weights.new_zeros(weights.shape, dtype=torch.complex128)
    height = max(1, VALUES // wide.units)
    for part, total in zip(grid.split(height), totals.split(height), strict=True) if len(grid) else ():
        spectra = torch.fft.rfft2(part, s=(wide.rows, wide.cols))
        sums.append(_power(spectra).flatten(1) @ transforms)  # (c, G)
        own += (sums[-1] / total[:, None].square()).sum(0)
        mass += (spectra / total[:, None, None]).sum(0)
    every = _power(mass).flatten() @ transforms
    between = (every - own) / (len(totals) * (len(totals) - 1)) if len(totals) >= 2 else own * torch.nan
    within = kernels.new_full((len(kernels), len(hits)), torch.nan)
    if len(totals):
        selves = totals[:, None] * kernels[:, 0, 0]
        within[:, counts > 0] = ((torch.cat(sums) - selves) / (totals * (totals - 1))[:, None]).T
    within[:, counts < 2] = torch.nan
    least = ROUNDING * kernels.flatten(1).amax(1)
    return [
        PairMeans(torch.where(row < limit, 0.0, row), torch.where(mean < limit, 0.0, mean))
        for row, mean, limit in zip(within, between, least, strict=True)
    ]


def frame(lattice: Lattice) -> Lattice:
    """The torus on which displacements of a lattice are its own: itself, or twice as large for a plane."""
    if lattice.topology == "torus":
        return lattice
    return Lattice(2 * lattice.rows, 2 * lattice.cols)


def distance_kernel(lattice: Lattice, device: torch.device | None = None) -> Tensor:
    """Lattice distance by displacement, (rows', cols') float64 on :func:`frame` of the lattice."""
    rows, cols = (steps[0].double() for steps in frame(lattice).axis_distances(device))
    return torch.hypot(rows[:, None], cols)


def box_kernel(lattice: Lattice, radius: int, device: torch.device | None = None) -> Tensor:
    """1 where a displacement is at most ``radius`` along each axis, else 0: (rows', cols') float64 on the frame."""
    rows, cols = (steps[0] <= radius for steps in frame(lattice).axis_distances(device))
    return (rows[:, None] & cols).double()


class DistanceRatio(Hits):
    """D_in / D_out of the classes on the map; see :func:`distance_ratio`.

    Lower = classes are compact and apart; 1 = the map knows nothing of the classes.

    Args:
        rows: rows of the lattice.
        cols: columns of the lattice.
        num_classes: number of classes.
        topology: ``"torus"`` or ``"plane"``.

    Example:
        >>> metric = DistanceRatio(rows=1, cols=4, num_classes=2)
        >>> metric.update(bmu=torch.tensor([0, 1, 3, 3]), label=torch.tensor([0, 0, 1, 1]))
        >>> metric.compute()
        tensor(0.3333)
    """

    higher_is_better = False

    def __init__(self, rows: int, cols: int, num_classes: int, topology: Topology = "torus") -> None:
        lattice = Lattice(rows, cols, topology)
        super().__init__(lattice.units, num_classes)
        self.lattice = lattice

    def compute(self) -> Tensor:
        """The ratio: scalar float32; NaN as in :func:`distance_ratio`."""
        return distance_ratio(self.hits, self.lattice)


def _frequency_weights(torus: Lattice, device: torch.device) -> Tensor:
    """How often each frequency of a real transform (rows, cols // 2 + 1) stands for itself and its conjugate."""
    weights = torch.full((torus.rows, torus.cols // 2 + 1), 2.0, dtype=torch.float64, device=device)
    weights[:, 0] = 1
    if torus.cols % 2 == 0:
        weights[:, -1] = 1
    return weights


def _power(spectra: Tensor) -> Tensor:
    return spectra.real.square() + spectra.imag.square()

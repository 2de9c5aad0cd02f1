"""Map quality relative to the spread of the codes, so that depths of different dimension and scale compare.

Codes x (N, D) and their distances to the BMU are taken in the space of the map (``map.encode(codes)``). Everything
follows from five sums: of 1, x, |x|^2, and the distance and its square; Var = mean |x - mean x|^2 is the total variance
over all D dimensions. Sums are float64, so that codes may carry an offset of thousands of their spread.

    explained variance = 1 - mean distance^2 / Var
    relative quantisation error = mean distance / sqrt(2 N / (N - 1) Var)

The denominator of the second is the root mean square distance between two different samples, since
mean |x - y|^2 = 2 N / (N - 1) Var. The median of those distances resists outliers but is no sum:
:func:`median_pairwise_distance` takes it from a seeded sample, for codes at hand.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from som.checks import check_finite


def explained_variance(distance: Tensor, codes: Tensor) -> Tensor:
    """Share of the codes' variance that the BMUs explain; higher is better, 1 = every code is a prototype.

    0 = no better than the mean of all codes; below 0 = worse than that. It takes the mean of squared distances, which
    is more than the square of the quantisation error, their mean.

    Args:
        distance: (N,) Euclidean distances to the BMU, not squared.
        codes: (N, D), in the space of the map.

    Returns:
        Scalar float32; NaN for no samples, equal codes, or a code that is not finite.

    Example:
        >>> codes = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
        >>> explained_variance(torch.full((4,), 0.5), codes)  # 1 - 0.25 / 4.25
        tensor(0.9412)
    """
    metric = ExplainedVariance(codes.shape[1]).to(codes.device)
    metric.update(distance, codes)
    return metric.compute()


def relative_quantisation_error(distance: Tensor, codes: Tensor) -> Tensor:
    """Mean distance to the BMU over the root mean square distance of two samples; lower is better, 0 = perfect.

    About 0.71 if every prototype is the mean of all codes.

    Args:
        distance: (N,) Euclidean distances to the BMU, not squared.
        codes: (N, D), in the space of the map.

    Returns:
        Scalar float32; NaN for fewer than 2 samples, equal codes, or a code that is not finite.

    Example:
        >>> relative_quantisation_error(torch.tensor([0.0, 1.0]), torch.tensor([[0.0], [5.0]]))
        tensor(0.1000)
    """
    metric = RelativeQuantisationError(codes.shape[1]).to(codes.device)
    metric.update(distance, codes)
    return metric.compute()


def relative_energy(energy: Tensor | float, variance: Tensor | float, mass: Tensor | float = 1.0) -> Tensor:
    """The map's loss over the spread of the codes, 2 E / (Var mass); lower is better, 0 = perfect.

    With E = 1/2 mean_b sum_k h(c_b, k) |x_b - w_k|^2 (som/energy.py) it is the unexplained share of the variance once
    the neighbourhood h has shrunk to the BMU. Before, it grows with the neighbourhood: it compares depths at equal
    sigma on equal lattices; divided by the mass of h, it compares any, and is 1 if all prototypes are the mean code.

    Args:
        energy: E, of one map or of several, such as a curve of a fit.
        variance: Var of its codes, in the space of the map: D where every dimension is standardised.
        mass: mean over samples of sum_k h(c_b, k): of ``rows, cols = map.factors(sigma)`` on a torus it is
            ``rows[0].sum() * cols[0].sum()``.

    Returns:
        Float64 of the shape of the arguments; NaN or infinite for a variance of 0.

    Example:
        >>> relative_energy(3.0, variance=12.0)
        tensor(0.5000, dtype=torch.float64)
    """
    energy, variance, mass = (torch.as_tensor(value, dtype=torch.float64) for value in (energy, variance, mass))
    return 2 * energy / (variance * mass)


def median_pairwise_distance(codes: Tensor, samples: int = 1000, seed: int = 0) -> Tensor:
    """Median distance between two different codes, from all pairs of a sample; no direction.

    Args:
        codes: (N, D), finite.
        samples: codes to draw, without replacement, if there are more; memory grows with its square.
        seed: of the draw.

    Returns:
        Scalar float32; NaN for fewer than 2 codes.

    Raises:
        ValueError: if a drawn code is not finite.

    Example:
        >>> median_pairwise_distance(torch.tensor([[0.0], [1.0], [3.0]]))
        tensor(2.)
    """
    if len(codes) > samples:
        chosen = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))[:samples]
        codes = codes[chosen.sort().values.to(codes.device)]
    check_finite(codes)
    if len(codes) < 2:
        return torch.tensor(torch.nan, device=codes.device)
    return torch.pdist(codes.double() - codes.double().mean(0)).quantile(0.5).float()


class _CodeSums(Metric):
    """The five sums of the module docstring; subclasses share them within a ``MetricCollection``."""

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False

    code_count: Tensor
    code_sum: Tensor
    code_squares: Tensor
    error_sum: Tensor
    error_squares: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        if dimensions < 1:
            raise ValueError(f"codes need at least 1 dimension; got dimensions={dimensions}")
        self.add_state("code_count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("code_sum", torch.zeros(dimensions, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("code_squares", "error_sum", "error_squares"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, euclidean: Tensor, codes: Tensor) -> None:
        """Add samples.

        Args:
            euclidean: (B,) Euclidean distances to the BMU; of a map of cosine distance d, ``(2 * d).sqrt()``.
            codes: (B, D), in the space of the map (``map.encode(codes)``).

        Raises:
            ValueError: if the shapes do not pair up.
        """
        if codes.ndim != 2 or codes.shape != (len(euclidean), len(self.code_sum)):
            raise ValueError(
                f"distances (B,) and codes (B, {len(self.code_sum)}) must pair up; got shapes {tuple(euclidean.shape)} "
                f"and {tuple(codes.shape)}"
            )
        distance, codes = euclidean.detach().double(), codes.detach().double()
        self.code_count += len(codes)
        self.code_sum += codes.sum(0)
        self.code_squares += codes.square().sum()
        self.error_sum += distance.sum()
        self.error_squares += distance.square().sum()

    def _variance(self) -> Tensor:
        """Var; NaN for no samples, exactly 0 where rounding cannot tell the codes apart."""
        squares, mean_square = self.code_squares / self.code_count, (self.code_sum / self.code_count).square().sum()
        variance = squares - mean_square
        return torch.where(variance > 1e-12 * squares, variance, variance * 0)


class CodeVariance(_CodeSums):
    """Total variance of the codes, the scale for :func:`relative_energy`; no direction.

    Args:
        dimensions: D.

    Example:
        >>> metric = CodeVariance(dimensions=1)
        >>> metric.update(euclidean=torch.zeros(2), codes=torch.tensor([[1.0], [3.0]]))
        >>> metric.compute()
        tensor(1.)
    """

    def compute(self) -> Tensor:
        """Var: scalar float32; NaN for no samples or a code that is not finite."""
        return self._variance().float()


class ExplainedVariance(_CodeSums):
    """Share of the codes' variance that the BMUs explain; see :func:`explained_variance`.

    Higher is better, 1 = every code is a prototype; 0 = no better than the mean of all codes.

    Args:
        dimensions: D.

    Example:
        >>> metric = ExplainedVariance(dimensions=1)
        >>> metric.update(euclidean=torch.tensor([0.5, 0.5]), codes=torch.tensor([[1.0], [3.0]]))
        >>> metric.compute()
        tensor(0.7500)
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """The share: scalar float32; NaN as in :func:`explained_variance`."""
        variance = self._variance()
        share = 1 - self.error_squares / self.code_count / variance
        return torch.where(variance > 0, share, torch.nan).float()


class RelativeQuantisationError(_CodeSums):
    """Mean distance to the BMU over the distance of two samples; see :func:`relative_quantisation_error`.

    Lower is better, 0 = every sample is a prototype; comparable between depths.

    Args:
        dimensions: D.

    Example:
        >>> metric = RelativeQuantisationError(dimensions=1)
        >>> metric.update(euclidean=torch.tensor([0.0, 1.0]), codes=torch.tensor([[0.0], [5.0]]))
        >>> metric.compute()
        tensor(0.1000)
    """

    higher_is_better = False

    def compute(self) -> Tensor:
        """The ratio: scalar float32; NaN as in :func:`relative_quantisation_error`."""
        variance = self._variance()
        apart = (2 * self.code_count / (self.code_count - 1) * variance).sqrt()
        return torch.where(variance > 0, self.error_sum / self.code_count / apart, torch.nan).float()

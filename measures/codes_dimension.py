"""The intrinsic dimension of the codes by TwoNN: how many numbers locate a code among its neighbours.

Facco, d'Errico, Rodriguez and Laio, Estimating the intrinsic dimension of datasets by a minimal neighborhood
information (2017): with r1 and r2 the distances of a code to its two nearest neighbours, log(r2 / r1) is exponential
with rate d if the density is constant up to r2. They leave out the largest tenth of the ratios, where it is not. The
same is done here by the likelihood of censored data (Epstein and Sobel 1953): of n ratios, the m smallest mu_i count as
observed and the others as at least mu_m,

    T = sum_{i <= m} log mu_i + (n - m) log mu_m,        d = (m - 1) / T,        2 d T ~ chi^2 with 2 m degrees,

which is unbiased and gives an interval; ratios of neighbouring codes are not quite independent, so that it is narrow.
"""

import torch
from scipy import stats
from torch import Tensor

from measures.intervals import Interval
from som.checks import check_finite

VALUES = 2**22  # numbers in memory at a time
CANDIDATES = 8  # whose distances are taken anew from differences


def intrinsic_dimension(codes: Tensor, discard: float = 0.1, confidence: float = 0.95) -> Interval:
    """Intrinsic dimension by TwoNN; neither direction is better.

    It reads low where many codes lie at an edge, as of a cube of high dimension: 8.6 of 10 and 15.8 of 20 dimensions
    from 4,000 codes. It depends on the scale that neighbours lie at: compare at equal N. Time grows with N^2 D; give a
    sample of some thousand.

    Args:
        codes: (N, D), finite.
        discard: share of the ratios to censor, from 0 to below 1.
        confidence: coverage of the interval, between 0 and 1.

    Returns:
        The dimension with its interval. Codes that equal another are left out, since their ratio is undefined; NaN if
        fewer than 3 different neighbourhoods remain.

    Raises:
        ValueError: if the codes are not (N, D) or not finite, or a share is out of range.

    Example:
        >>> square = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
        >>> found = intrinsic_dimension(square)
        >>> found.low < 2 < found.high
        True
    """
    if not 0 <= discard < 1:
        raise ValueError(f"discard must be from 0 to below 1; got discard={discard}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95; got confidence={confidence}")
    nearest, second = nearest_two(codes)
    logs = (second / nearest)[nearest > 0].log().sort().values
    count = len(logs)
    observed = max(1, int(count * (1 - discard)))
    if count < 3 or observed < 2:
        return Interval(*[float("nan")] * 4)
    total = float(logs[:observed].sum() + (count - observed) * logs[observed - 1])
    if total == 0:
        return Interval(*[float("nan")] * 4)
    dimension = (observed - 1) / total
    low, high = (
        float(stats.chi2.ppf(p, 2 * observed)) / (2 * total) for p in ((1 - confidence) / 2, (1 + confidence) / 2)
    )
    return Interval(dimension, low, high, dimension / observed**0.5)


def nearest_two(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Distances of each code to its two nearest neighbours among the others.

    Args:
        codes: (N, D), finite, N >= 3 for both to exist.

    Returns:
        (N,) float64 each; infinite where there is no such neighbour.

    Raises:
        ValueError: if the codes are not (N, D) or not finite.
    """
    if codes.ndim != 2:
        raise ValueError(f"codes must be (samples, dimensions); got shape {tuple(codes.shape)}")
    check_finite(codes)
    codes = codes.detach().double()
    codes = codes - codes.mean(0) if len(codes) else codes
    squares, found = codes.square().sum(1), []
    kept = min(CANDIDATES, len(codes))
    height = max(1, VALUES // max(1, len(codes) + CANDIDATES * codes.shape[1]))
    for rows in torch.arange(len(codes), device=codes.device).split(height):
        # Products find the candidates, differences tell their distances: equal codes are at exactly 0.
        scores = torch.addmm(squares, codes[rows], codes.T, alpha=-2).scatter_(1, rows[:, None], torch.inf)
        near = scores.topk(kept, largest=False).indices
        distances = (codes[near] - codes[rows, None]).square().sum(2).sqrt()
        distances.masked_fill_(near == rows[:, None], torch.inf)
        found.append(torch.nn.functional.pad(distances, (0, 2), value=torch.inf).topk(2, largest=False).values)
    nearest = torch.cat(found) if found else codes.new_zeros(0, 2)
    return nearest[:, 0], nearest[:, 1]

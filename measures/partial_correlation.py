"""Whether two quantities go together beyond what a third explains: partial rank correlation, with intervals.

Spearman's correlation is Pearson's of the ranks. The partial one of x and y given z is that of the residuals of both
ranks after a linear fit on the ranks of z:

    r_xy.z = (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2))
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

DRAWS = 1000


class Correlation(NamedTuple):
    """A rank correlation, from -1 to 1, with its percentile interval.

    Attributes:
        value: NaN for fewer than 3 samples, or a constant.
        low: lower bound.
        high: upper bound.
        samples: how many.
    """

    value: float
    low: float
    high: float
    samples: int


def rank_correlation(
    x: np.ndarray,
    y: np.ndarray,
    given: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    confidence: float = 0.95,
) -> Correlation:
    """Spearman's correlation of x and y, partial if a third quantity is given; 0 = no monotone relation.

    Samples of which any value is NaN are left out. The interval is the bootstrap's over samples.

    Args:
        x: (N,).
        y: (N,).
        given: (N,) what is held fixed.
        draws: of the bootstrap.
        seed: of the draws.
        confidence: coverage, between 0 and 1.

    Example:
        >>> x = np.arange(20.0)
        >>> rank_correlation(x, x**3).value
        1.0
        >>> round(rank_correlation(x + np.tile([0, 9], 10), x + np.tile([0, 9, 3, 2], 5), given=x).value, 2)
        0.6
    """
    columns = [np.asarray(column, np.float64) for column in (x, y, *([] if given is None else [given]))]
    known = ~np.isnan(columns).any(axis=0)
    table = np.stack(columns)[:, known]
    count = table.shape[1]
    value = _partial(table)
    if math.isnan(value):
        return Correlation(math.nan, math.nan, math.nan, count)
    generator = np.random.default_rng(seed)
    drawn = [_partial(table[:, generator.integers(count, size=count)]) for _ in range(draws)]
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Correlation(value, float(low), float(high), count)


def _partial(table: np.ndarray) -> float:
    """The correlation of the first two rows, given the third if there is one."""
    if table.shape[1] < 3:
        return math.nan
    ranks = stats.rankdata(table, axis=1)
    if (np.ptp(ranks, axis=1) == 0).any():
        return math.nan
    r = np.corrcoef(ranks)
    if len(table) == 2:
        return float(np.clip(r[0, 1], -1, 1))
    rest = (1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2)
    return float(np.clip((r[0, 1] - r[0, 2] * r[1, 2]) / math.sqrt(rest), -1, 1)) if rest > 1e-12 else math.nan

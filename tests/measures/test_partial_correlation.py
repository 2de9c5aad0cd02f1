import math

import numpy as np
import pytest
from scipy import stats

from measures import rank_correlation


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    given = random.normal(size=60)
    return given + random.normal(size=60), given**3 + random.normal(size=60), given


def test_without_a_third_it_is_spearmans(data):
    x, y, _ = data
    found = rank_correlation(x, y, draws=200)
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.low < found.value < found.high
    assert found.samples == 60


def test_partial_is_the_correlation_of_residuals_of_ranks(data):
    x, y, given = data
    ranks = [stats.rankdata(each) for each in (x, y, given)]
    design = np.stack([np.ones(60), ranks[2]], axis=1)
    residuals = [each - design @ np.linalg.lstsq(design, each, rcond=None)[0] for each in ranks[:2]]
    found = rank_correlation(x, y, given, draws=200)
    assert found.value == pytest.approx(np.corrcoef(*residuals)[0, 1])
    assert abs(found.value) < abs(rank_correlation(x, y, draws=10).value), "what both share is taken out"
    assert found.low < 0 < found.high


def test_undefined_values_are_left_out(data):
    x, y, given = data
    padded = [np.append(each, other) for each, other in zip(data, (math.nan, 1.0, 2.0), strict=True)]
    assert rank_correlation(*padded, draws=50) == rank_correlation(x, y, given, draws=50)


@pytest.mark.parametrize(("x", "y"), [([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([], [])])
def test_too_little_says_nothing(x, y):
    found = rank_correlation(np.array(x), np.array(y))
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert found.samples == len(x)


def test_given_itself_leaves_nothing(data):
    x, _, given = data
    assert math.isnan(rank_correlation(x, given, given).value)


def test_intervals_cover(data):
    """95 % intervals of independent samples hold 0 about as often as they say."""
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(60):
        found = rank_correlation(random.normal(size=40), random.normal(size=40), random.normal(size=40), draws=100)
        inside += found.low <= 0 <= found.high
    assert inside >= 51  # P(fewer | 95 %) < 1e-3

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from measures import Rate, success_rate, wilson_interval


@settings(deadline=None)
@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_matches_scipy(counts, confidence):
    successes, trials = counts
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, trials, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("trials", [1, 3, 10, 999])
def test_wilson_reaches_the_ends_exactly(trials):
    low, high = wilson_interval(0, trials)
    assert low == 0.0 < high < 1
    low, high = wilson_interval(trials, trials)
    assert 0 < low < high == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 2), "successes=3, trials=2"),
        ((-1, 2), "successes=-1, trials=2"),
        ((1, 2, 95), "between 0 and 1, such as 0.95; got confidence=95"),
    ],
)
def test_wilson_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson_interval(*arguments)


def test_rate():
    metric = Rate()
    success = torch.tensor([True, False, False])
    metric.update(success[:0])
    empty = metric.compute()
    assert math.isnan(empty["rate"])
    assert (empty["low"], empty["high"], empty["trials"]) == (0, 1, 0)
    metric.update(success[:1])
    metric.update(success[1:])
    assert (metric.successes.item(), metric.trials.item()) == (1, 3)
    result = metric.compute()
    assert result["rate"].item() == pytest.approx(success_rate(success).item()) == pytest.approx(1 / 3)
    assert (result["low"], result["high"]) == pytest.approx(wilson_interval(1, 3))
    assert result["trials"] == 3
    assert metric.higher_is_better is None
    assert math.isnan(success_rate(success[:0]))

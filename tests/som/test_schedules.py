import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from som import Schedule
from som.schedules import between

KINDS = ["linear", "exponential", "cosine", "inverse"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("linear", 10 - 9.5 * 0.3),
        ("exponential", 10 * 0.05**0.3),
        ("cosine", 0.5 + 9.5 * (1 + math.cos(0.3 * math.pi)) / 2),
        ("inverse", 1 / (0.1 + (2 - 0.1) * 0.3)),
    ],
)
def test_formulas(kind, expected):
    assert Schedule(10.0, 0.5, kind)(0.3) == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_ends_are_exact_and_clamped(kind):
    schedule = Schedule(0.7, 0.1, kind)
    assert [schedule(p) for p in (-1.0, 0.0, 1.0, 7.0)] == [0.7, 0.7, 0.1, 0.1]


@pytest.mark.parametrize("kind", KINDS)
@given(st.floats(0, 1), st.floats(0, 1))
def test_falls_all_the_way(kind, one, other):
    schedule = Schedule(20.0, 0.5, kind)
    assert schedule(min(one, other)) >= schedule(max(one, other)) - 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0), "needs values above 0; got start=0.0, end=1.0"),
        ((1.0, -1.0), "needs values above 0; got start=1.0, end=-1.0"),
        ((1.0, math.inf, "linear"), "finite values; got start=1.0, end=inf"),
        ((1.0, 2.0, "step"), "kind 'step' is unknown; choose one of 'linear', 'exponential', 'cosine', 'inverse'"),
        ((1.0, 0.0, "inverse"), "an inverse schedule needs values above 0"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        Schedule(*arguments)


def test_a_linear_schedule_may_reach_0():
    assert Schedule(1.0, 0.0, "linear")(1.0) == 0.0


def test_inverse_is_minisoms_asymptotic_decay():
    schedule, steps = Schedule(0.6, 0.2, "inverse"), 17
    for step in range(steps):
        assert schedule(step / steps) == pytest.approx(0.6 / (1 + step / (steps / 2)))


def test_a_parameter_is_two_numbers():
    assert between("sigma", [2, np.float32(1)], "linear") == Schedule(2, 1, "linear")
    for ends in (1.5, None, (1.0,), (1.0, 2.0, 3.0), ("a", 1.0), "ab"):
        with pytest.raises(
            ValueError, match="sigma must be two numbers, its values at the first and at the last sample"
        ):
            between("sigma", ends, "linear")

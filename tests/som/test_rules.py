import pytest
import torch

from som import Lattice, neighbourhood_factors
from som.rules import MovingAverage, batch_step, check_rule, dense_gradient_step, gradient_step
from som.sums import smoothed_sums
from tests.som import reference


def case(kind="gaussian", sigma=1.2, batch=23, seed=0):
    codes, prototypes = reference.draw(batch, 4, seed=seed), reference.draw(15, 4, seed=1)
    bmu = reference.winners(codes, prototypes)[0]
    sums = smoothed_sums(codes, bmu, neighbourhood_factors(kind, Lattice(3, 5), sigma))
    return codes, prototypes, sums, reference.weights(bmu, 3, 5, "torus", sigma, kind)


def assert_close(found, expected):
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [5, 23])
def test_a_gradient_step_matches_loops(batch):
    codes, prototypes, sums, h = case(batch=batch)
    expected = reference.gradient_step(prototypes, codes, h, 0.3)
    gradient_step(prototypes, *sums, batch, 0.3)
    assert_close(prototypes, expected)


@pytest.mark.parametrize(("kind", "sigma"), [("gaussian", 1.2), ("bubble", 0.5)])
def test_a_batch_step_matches_loops_and_units_out_of_reach_stay(kind, sigma):
    codes, prototypes, sums, h = case(kind, sigma, batch=7)
    before, expected = prototypes.clone(), reference.batch_step(prototypes, codes, h)
    batch_step(prototypes, *sums)
    assert_close(prototypes, expected)
    unreached = h.sum(0) == 0
    assert unreached.any() == (kind == "bubble")
    assert torch.equal(prototypes[unreached], before[unreached])


def test_moving_averages_match_loops():
    prototypes = reference.draw(15, 4, seed=1)
    average, expected = MovingAverage(prototypes), prototypes.double()
    numerator = denominator = 0.0
    for seed, batch, alpha in ((2, 7, 0.5), (3, 2, 0.1), (4, 5, 0.9)):
        codes, _, sums, h = case("bubble", 0.5, batch, seed)
        average.step(prototypes, *sums, batch, alpha)
        numerator = (1 - alpha) * numerator + alpha * h.T @ codes.double() / batch
        denominator = (1 - alpha) * denominator + alpha * h.sum(0) / batch
        expected = torch.where(denominator[:, None] > 0, numerator / denominator[:, None], expected)
        assert_close(prototypes, expected)
    assert (denominator == 0).any()


def test_a_moving_average_that_forgets_everything_is_the_batch_rule():
    _, prototypes, sums, _ = case()
    other = prototypes.clone()
    average = MovingAverage(prototypes)
    average.step(prototypes, *(part * 5 for part in sums), 7, 0.5)
    average.step(prototypes, *sums, 23, 1.0)
    batch_step(other, *sums)
    assert_close(prototypes, other)


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_rules_commute_with_a_shift(shift):
    _, prototypes, (numerator, denominator), _ = case()
    shifted = numerator - shift * denominator[:, None], denominator
    for step in (lambda w, n, d: gradient_step(w, n, d, 23, 0.4), batch_step):
        here, there = prototypes.clone(), prototypes - shift
        step(here, numerator, denominator)
        step(there, *shifted)
        assert_close(there, here - shift)


def test_no_codes_move_nothing():
    _, prototypes, _, _ = case()
    before, nothing = prototypes.clone(), (torch.zeros(15, 4), torch.zeros(15))
    gradient_step(prototypes, *nothing, 0, 0.5)
    MovingAverage(prototypes).step(prototypes, *nothing, 0, 0.5)
    batch_step(prototypes, *nothing)
    assert torch.equal(prototypes, before)


@pytest.mark.parametrize(
    ("rule", "winner", "alpha", "message"),
    [
        ("golden", "kohonen", (1.0, 1.0), r"rule 'golden' is unknown; choose one of 'gradient', 'batch', 'ema'"),
        ("batch", "heskes", (1.0, 1.0), r"winner 'heskes' needs rule 'gradient'; got rule 'batch'"),
        ("ema", "kohonen", (1.0, 1.5), r"needs 0 < alpha <= 1.*\(1.0, 1.5\)"),
        ("ema", "kohonen", (0.5, 0.0), r"needs 0 < alpha <= 1"),
    ],
)
def test_what_a_rule_cannot_do_is_refused(rule, winner, alpha, message):
    with pytest.raises(ValueError, match=message):
        check_rule(rule, winner, alpha)


def test_the_dense_step_is_the_step():
    codes, prototypes, sums, h = case()
    weights, other = h.float(), prototypes.clone()
    gradient_step(prototypes, *sums, len(codes), 0.7)
    dense_gradient_step(other, codes, weights, 0.7)
    torch.testing.assert_close(other, prototypes)
    dense_gradient_step(other, codes[:0], weights[:0], 0.7)
    torch.testing.assert_close(other, prototypes)

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from som import bounds as som_bounds
from som.bounds import Dense, HalfPrecision, LowRank, fast_bounds, half_precision_pays, low_rank_pays
from som.index import Index
from tests.som import reference

BOUNDS = {
    "dense": Dense,
    "half": HalfPrecision,
    # Any factors do: these are the prototypes themselves, stretched and squeezed.
    "low_rank": lambda index: LowRank(index, index.centred * 3, torch.eye(index.centred.shape[1]) / 3),
}


def exact_scores(codes, index):
    """(B, K): |v|^2 / 2 - x v in float64."""
    centred, prototypes = codes.double(), index.centred.double()
    return prototypes.square().sum(1) / 2 - centred @ prototypes.T


def ask(bound, centred, count):
    scores, error = bound(centred, torch.linalg.vector_norm(centred, dim=1, keepdim=True))
    return scores, scores.sort(dim=1).values[:, count - 1 : count] + 2 * error


def check(name, codes, prototypes, count):
    index = Index(prototypes)
    centred = codes - index.mean
    scores, ceiling = ask(BOUNDS[name](index), centred, count)
    exact = exact_scores(centred, index)
    smallest = scores.sort(dim=1).values[:, count - 1 : count]
    error = (ceiling.double() - smallest) / 2 + torch.finfo(torch.float32).eps * smallest.abs()
    assert ((scores - exact).abs() <= error).all()
    best = exact.topk(count, largest=False).indices
    assert (scores.gather(1, best) <= ceiling).all(), "a winner was thrown away"


@st.composite
def problems(draw):
    """Codes and prototypes over many scales, with offsets, repeats and near ties."""
    units, samples, dimensions = draw(st.integers(1, 17)), draw(st.integers(1, 6)), draw(st.integers(1, 33))
    seed, scale = draw(st.integers(0, 2**31)), 10.0 ** draw(st.integers(-6, 6))
    offset, spread = draw(st.sampled_from([0.0, 1.0, 1e3, 1e4])), draw(st.sampled_from([0.0, 1e-6, 1e-2, 1.0]))
    generator = torch.Generator().manual_seed(seed)
    prototypes = torch.randn(units, dimensions, generator=generator)
    near = prototypes[torch.randint(0, units, (samples,), generator=generator)]
    codes = near + spread * torch.randn(samples, dimensions, generator=generator)
    if draw(st.booleans()):
        prototypes = prototypes[torch.randint(0, units, (units,), generator=generator)]
    return scale * (codes + offset), scale * (prototypes + offset), draw(st.integers(1, min(2, units)))


@pytest.mark.parametrize("name", BOUNDS)
@settings(deadline=None, max_examples=150)
@given(problems())
def test_scores_err_by_no_more_than_the_ceiling_says(name, problem):
    check(name, *problem)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("dimensions", [1, 320, 2560])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_bounds_hold_in_many_dimensions(name, dimensions, offset):
    check(name, reference.draw(40, dimensions, offset=offset), reference.draw(70, dimensions, seed=1, offset=offset), 2)


def test_half_precision_leaves_a_handful():
    codes, index = reference.draw(40, 320), Index(reference.draw(700, 320, seed=1))
    lower, ceiling = ask(HalfPrecision(index), codes - index.mean, 1)
    assert (lower <= ceiling).sum(1).float().mean() < 25


def test_low_rank_factors_that_cancel_widen_the_ceiling():
    index, noise = Index(reference.draw(15, 4, seed=1)), reference.draw(15, 3) * 1e3
    left = torch.cat((index.centred, noise, noise), dim=1)
    right = torch.cat((torch.eye(4), reference.draw(3, 4, seed=2), -reference.draw(3, 4, seed=2)))
    bound = LowRank(index, left, right)
    assert bound.cancelling > 100
    codes = reference.draw(40, 4, seed=5) - index.mean
    lower, ceiling = ask(bound, codes, 1)
    exact = exact_scores(codes, index)
    assert (lower.gather(1, exact.argmin(1, keepdim=True)) <= ceiling).all()


def test_what_pays(monkeypatch):
    index, large = Index(torch.zeros(3, 2)), torch.empty(1600, 2560)
    for pays, least, most in ((True, 190, 200), (False, 400, 500)):
        monkeypatch.setattr(som_bounds, "half_precision_pays", lambda device, pays=pays: pays)
        assert isinstance(fast_bounds(index, 512), HalfPrecision if pays else Dense)
        assert isinstance(fast_bounds(index, 511), Dense)
        assert low_rank_pays(least, large)
        assert not low_rank_pays(most, large)


def test_the_speed_is_measured_once():
    assert isinstance(half_precision_pays(torch.device("cpu")), bool)
    hits = half_precision_pays.cache_info().hits
    half_precision_pays(torch.device("cpu"))
    assert half_precision_pays.cache_info().hits == hits + 1

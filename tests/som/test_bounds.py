import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from som.bounds import DIRECTIONS, Dense, Pruned, fast_bounds, subspace_width
from som.index import BLOCK, Index, find_nearest
from tests.som import reference

BOUNDS = {"dense": Dense, "pruned": Pruned}


def exact_scores(codes, index):
    """(B, K): |v|^2 / 2 - x v in float64."""
    centred, prototypes = codes.double(), index.centred.double()
    return prototypes.square().sum(1) / 2 - centred @ prototypes.T


def check(name, codes, prototypes):
    """No bound lies above the exact score; those of exact bounds lie no further below."""
    index = Index(prototypes)
    centred = codes - index.mean
    bounds = BOUNDS[name](index)
    tile, slack = bounds(centred, torch.linalg.vector_norm(centred, dim=1, keepdim=True))
    assert tile.shape[1] % BLOCK == 0
    assert (tile[:, len(prototypes) :] == torch.inf).all()
    lower, exact = tile[:, : len(prototypes)], exact_scores(centred, index)
    assert (lower <= exact + slack).all(), "a unit that may win would be thrown away"
    assert not bounds.exact or (lower >= exact - slack).all()
    return lower


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
    return scale * (codes + offset), scale * (prototypes + offset)


@pytest.mark.parametrize("name", BOUNDS)
@settings(deadline=None, max_examples=150)
@given(problems())
def test_no_bound_lies_above_the_score(name, problem):
    check(name, *problem)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("dimensions", [1, 320, 2560])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_bounds_hold_in_many_dimensions(name, dimensions, offset):
    check(name, reference.draw(40, dimensions, offset=offset), reference.draw(70, dimensions, seed=1, offset=offset))


def smooth_prototypes(directions, noise=0.0):
    """(160, 80) prototypes near a subspace."""
    inside = reference.draw(160, directions, seed=1) @ reference.draw(directions, 80, seed=2)
    return inside + noise * reference.draw(160, 80, seed=3)


def test_in_a_subspace_the_bounds_are_the_scores():
    codes, prototypes = reference.draw(40, 80) * 3, smooth_prototypes(5)
    lower, index = check("pruned", codes, prototypes), Index(prototypes)
    assert len(Pruned(index).basis) == 5
    torch.testing.assert_close(lower.double(), exact_scores(codes - index.mean, index), rtol=1e-3, atol=0.1)


def test_near_a_subspace_few_units_survive():
    prototypes = smooth_prototypes(5, noise=0.02)
    codes = prototypes[:40] + reference.draw(40, 80)
    lower, index = check("pruned", codes, prototypes), Index(prototypes)
    exact = exact_scores(codes - index.mean, index)
    assert (lower <= exact.min(1, keepdim=True).values).sum(1).float().mean() < 4


def test_bounds_that_leave_too_much_give_way_to_scores():
    codes, prototypes = reference.draw(600, 80), reference.draw(160, 80, seed=1)
    index = Index(prototypes)
    bounds = Pruned(index)
    found = find_nearest(codes, index, bounds)
    assert bounds.exact
    assert torch.equal(found.units[:, 0], torch.cdist(codes.double(), prototypes.double()).argmin(1))


def test_what_pays():
    index = Index(torch.zeros(160, 80))
    assert isinstance(fast_bounds(index, 256), Dense)
    assert isinstance(fast_bounds(index, 257), Pruned)
    assert isinstance(fast_bounds(Index(torch.zeros(63, 80)), 10**9), Dense)


@pytest.mark.parametrize(("shape", "width"), [((1, 1), 1), ((3, 2), 1), ((160, 80), 20), ((1600, 2560), DIRECTIONS)])
def test_the_subspace_is_narrower_than_codes_and_map(shape, width):
    assert subspace_width(torch.zeros(shape)) == width

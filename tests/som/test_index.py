import pytest
import torch

from som import index as som_index
from som.bounds import Dense
from som.index import Index, find_nearest, products
from tests.som import reference
from tests.som.test_bounds import BOUNDS

draw = reference.draw


def exact(codes, prototypes, count):
    """The units of a dense float64 search, ties to the lower."""
    squared = (codes.double()[:, None] - prototypes.double()).square().sum(2)
    return squared.argsort(dim=1, stable=True)[:, :count]


CASES = {
    "random": (draw(40, 5), draw(28, 5, seed=1)),
    "offset": (draw(40, 5, offset=1e4), draw(28, 5, seed=1, offset=1e4)),
    "duplicate prototypes": (draw(40, 5), draw(7, 5, seed=1).repeat(4, 1)),
    "duplicate codes": (draw(3, 5).repeat(9, 1), draw(28, 5, seed=1)),
    "codes are prototypes": (draw(28, 5, seed=1), draw(28, 5, seed=1)),
    "constant codes": (torch.full((9, 5), 3.25), draw(28, 5, seed=1)),
    "constant prototypes": (draw(9, 5), torch.full((28, 5), 0.1)),
    "all constant": (torch.full((9, 5), 0.1), torch.full((28, 5), 0.1)),
    "no variance in a dimension": (draw(40, 5) * torch.tensor([1, 0, 1, 1, 0]), draw(28, 5, seed=1)),
    "a large constant dimension": (draw(40, 5) + torch.tensor([0, 0, 1e6, 0, 0]), draw(28, 5, seed=1)),
    "last bits": (draw(28, 5), torch.nextafter(draw(28, 5), torch.tensor(torch.inf))),
    "one dimension": (draw(40, 1), draw(28, 1, seed=1)),
    "one unit": (draw(40, 5), draw(1, 5, seed=1)),
    "two units": (draw(40, 5), draw(2, 5, seed=1)),
    "one code": (draw(1, 5), draw(28, 5, seed=1)),
    "fewer codes than units": (draw(5, 5), draw(28, 5, seed=1)),
    "many dimensions": (draw(20, 2560), draw(28, 2560, seed=1)),
    "many dimensions, offset": (draw(20, 2560, offset=1e4), draw(28, 2560, seed=1, offset=1e4)),
    "more than a chunk": (draw(1100, 3), draw(15, 3, seed=1)),
    "minute": (draw(40, 5) * 1e-21, draw(28, 5, seed=1) * 1e-21),
    "huge": (draw(40, 5) * 1e15, draw(28, 5, seed=1) * 1e15),
    "codes far away": (draw(40, 5, offset=3e4), draw(28, 5, seed=1)),
    "no codes": (draw(0, 5), draw(28, 5, seed=1)),
}


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("case", CASES)
def test_every_bound_finds_the_units_of_a_dense_float64_search(bound, case):
    codes, prototypes = CASES[case]
    index = Index(prototypes)
    for count in (1, min(2, len(prototypes))):
        found = find_nearest(codes, index, BOUNDS[bound](index), count)
        assert found.units.shape == (len(codes), count)
        assert torch.equal(found.units, exact(codes, prototypes, count))


@pytest.mark.parametrize("bound", BOUNDS)
def test_more_than_two(bound):
    codes, prototypes = draw(40, 5), draw(7, 5, seed=1).repeat(2, 1)
    index = Index(prototypes)
    assert torch.equal(find_nearest(codes, index, BOUNDS[bound](index), 14).units, exact(codes, prototypes, 14))


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("count", [1, 2])
def test_ties_are_rescored_and_go_to_the_lower_unit_and_nothing_else_is(bound, count):
    prototypes = torch.eye(6)[:, :5] * 100
    codes = prototypes[[3, 4, 1]] + 1
    index = Index(torch.cat((prototypes, prototypes)))
    found = find_nearest(codes, index, BOUNDS[bound](index), count)
    assert found.rescored == 3
    assert found.units.tolist() == [[3, 9][:count], [4, 10][:count], [1, 7][:count]]
    index = Index(prototypes * torch.arange(1, 7)[:, None])
    assert find_nearest(codes * 3, index, BOUNDS[bound](index), 1).rescored == 0


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_centred_index_leaves_codes_as_they_are(bound):
    codes, prototypes = draw(40, 5), draw(28, 5, seed=1)
    index = Index(prototypes, centred=True)
    assert index.centred is index.prototypes
    assert torch.equal(find_nearest(codes, index, BOUNDS[bound](index)).units, exact(codes, prototypes, 1))


@pytest.mark.parametrize("bound", BOUNDS)
def test_chunks_do_not_show(bound, monkeypatch):
    codes, prototypes = draw(700, 5), draw(7, 5, seed=1).repeat(4, 1)
    index = Index(prototypes)
    whole = find_nearest(codes, index, BOUNDS[bound](index), 2)
    monkeypatch.setattr(som_index, "SCORES", 28 * 100)
    monkeypatch.setattr("som.tiles.ROWS", 300)
    monkeypatch.setattr(som_index, "PAIRS", 3)
    parts = find_nearest(codes, index, BOUNDS[bound](index), 2)
    assert torch.equal(whole.units, parts.units)
    assert whole.rescored == parts.rescored == 700


def test_an_index_keeps_the_prototypes_and_its_memory():
    prototypes = draw(28, 5, seed=1)
    index = Index(prototypes)
    assert index.prototypes.data_ptr() == prototypes.data_ptr()
    torch.testing.assert_close(index.norms, (prototypes - prototypes.mean(0)).norm(dim=1))
    first, second = index.scratch("a", 9, 4), index.scratch("a", 3, 4)
    assert first.data_ptr() == second.data_ptr()
    assert index.scratch("a", 10, 4).shape == (10, 4)
    assert second.shape == (3, 4)


def test_autocast_changes_nothing():
    codes, index = draw(40, 5), Index(draw(28, 5, seed=1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = find_nearest(codes, index, Dense(index), 2)
    assert torch.equal(found.units, exact(codes, index.prototypes, 2))


def test_products_of_chosen_pairs():
    a, b = draw(6, 5), draw(4, 5, seed=1)
    rows, columns = torch.tensor([0, 0, 2, 5, 5, 5]), torch.tensor([3, 1, 0, 3, 2, 0])
    torch.testing.assert_close(products(a, b, rows, columns), (a @ b.T)[rows, columns])


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 1e25])
def test_what_float32_cannot_square_is_refused(bound, poison):
    codes, prototypes = draw(40, 5), draw(28, 5, seed=1)
    codes[7, 2] = poison
    index = Index(prototypes)
    with pytest.raises(ValueError, match=r"squared distances float32; got lengths up to .*lower alpha"):
        find_nearest(codes, index, BOUNDS[bound](index))


def test_no_warning_of_torch_comes_through_and_no_filter_is_touched():
    import warnings

    som_index._silence_sparse.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        products(draw(6, 5), draw(4, 5), torch.tensor([0, 2]), torch.tensor([3, 1]))
        assert warnings.filters == before

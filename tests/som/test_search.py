import pytest
import torch

from som import find_bmus
from som.search import distances
from tests.som import reference

draw = reference.draw


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize(("batch", "units", "dimensions"), [(23, 12, 5), (1, 12, 5), (23, 12, 1), (5, 2, 3), (1, 1, 1)])
def test_matches_loops(batch, units, dimensions, offset):
    codes, prototypes = draw(batch, dimensions, offset=offset), draw(units, dimensions, seed=1, offset=offset)
    found = find_bmus(codes, prototypes)
    bmu, second, distance, second_distance = reference.winners(codes, prototypes)
    assert torch.equal(found.bmu, bmu)
    assert torch.equal(found.second, second)
    torch.testing.assert_close(found.distance.double(), distance, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.second_distance.double(), second_distance, rtol=1e-5, atol=1e-6)
    assert [part.dtype for part in found] == [torch.int64, torch.int64, torch.float32, torch.float32]


def test_many_codes():
    codes, prototypes = draw(1500, 6), draw(35, 6, seed=1)
    exact = torch.cdist(codes.double(), prototypes.double()).topk(2, largest=False)
    found = find_bmus(codes, prototypes)
    assert torch.equal(torch.stack((found.bmu, found.second), 1), exact.indices)
    torch.testing.assert_close(torch.stack((found.distance, found.second_distance), 1), exact.values.float())


def test_an_offset_in_one_dimension_does_not_hide_the_others():
    prototypes = draw(12, 5)
    codes = draw(200, 5, seed=1)
    codes[:, 2], prototypes[:, 2] = 1e6, 1e6
    bmu, second, *_ = reference.winners(codes, prototypes)
    found = find_bmus(codes, prototypes)
    assert torch.equal(found.bmu, bmu)
    assert torch.equal(found.second, second)


def test_ties_go_to_the_lower_unit():
    prototypes = torch.tensor([[5.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    found = find_bmus(torch.tensor([[1.0, 1.0], [0.0, 2.0]]), prototypes)
    assert found.bmu.tolist() == [1, 1]
    assert found.second.tolist() == [2, 2]


def test_the_two_come_in_their_exact_order():
    # Two prototypes a last bit apart beside a far one: the centred scores round them to either order.
    base = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    prototypes = torch.cat((base, torch.nextafter(base, torch.tensor(torch.inf)), base[:1] + 1e3))
    found = find_bmus(base, prototypes)
    assert torch.equal(found.bmu, torch.arange(40))
    assert torch.equal(found.second, torch.arange(40, 80))
    assert (found.distance <= found.second_distance).all()


def test_one_unit_is_first_and_second():
    found = find_bmus(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
    assert [part.tolist() for part in found] == [[0], [0], [5.0], [5.0]]


def test_no_codes_give_no_winners():
    assert [part.shape for part in find_bmus(torch.zeros(0, 2), torch.zeros(3, 2))] == [(0,)] * 4


def test_distances_to_chosen_units():
    codes, prototypes, units = draw(2100, 3, offset=1e4), draw(15, 3, seed=1, offset=1e4), torch.arange(2100) % 15
    expected = (codes.double() - prototypes.double()[units]).norm(dim=1)
    torch.testing.assert_close(distances(codes, prototypes, units).double(), expected, rtol=1e-5, atol=1e-6)


def test_autocast_changes_nothing_and_no_gradient_passes():
    codes, prototypes = draw(20, 6).requires_grad_(), draw(12, 6, seed=1).requires_grad_()
    plain = find_bmus(codes, prototypes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = find_bmus(codes, prototypes)
    for one, other in zip(plain, cast, strict=True):
        assert torch.equal(one, other)
        assert not other.requires_grad
    low = find_bmus(codes.bfloat16(), prototypes)
    assert low.distance.dtype == torch.float32

import pytest
import torch

from som import find_bmus
from tests.som import reference


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize(("batch", "units", "dimensions"), [(23, 12, 5), (1, 12, 5), (23, 12, 1), (5, 2, 3), (1, 1, 1)])
def test_matches_loops(batch, units, dimensions, offset):
    # Rounded to 1/64, offset codes are exact in float32: what is tested is the search, not the input's rounding.
    codes = (draw(batch, dimensions) * 64).round() / 64 + offset
    prototypes = (draw(units, dimensions, seed=1) * 64).round() / 64 + offset
    found = find_bmus(codes, prototypes, chunk=4)
    bmu, second, distance, second_distance = reference.winners(codes, prototypes)
    assert torch.equal(found.bmu, bmu)
    assert torch.equal(found.second, second)
    torch.testing.assert_close(found.distance.double(), distance, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.second_distance.double(), second_distance, rtol=1e-5, atol=1e-6)
    assert [part.dtype for part in found] == [torch.int64, torch.int64, torch.float32, torch.float32]


def test_an_offset_in_one_dimension_does_not_hide_the_others():
    prototypes = draw(12, 5)
    codes = draw(200, 5, seed=1)
    codes[:, 2], prototypes[:, 2] = 1e6, 1e6
    bmu, second, *_ = reference.winners(codes, prototypes)
    found = find_bmus(codes, prototypes)
    assert torch.equal(found.bmu, bmu)
    assert torch.equal(found.second, second)


def test_chunks_do_not_show():
    codes, prototypes = draw(50, 3), draw(12, 3, seed=1)
    whole = find_bmus(codes, prototypes, chunk=50)
    for chunk in (1, 7, 49, 1000):
        for one, other in zip(whole, find_bmus(codes, prototypes, chunk=chunk), strict=True):
            torch.testing.assert_close(one, other)


def test_ties_go_to_the_lower_unit():
    prototypes = torch.tensor([[5.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    found = find_bmus(torch.tensor([[1.0, 1.0], [0.0, 2.0]]), prototypes)
    assert found.bmu.tolist() == [1, 1]
    assert found.second.tolist() == [2, 2]


def test_the_two_come_in_their_exact_order():
    # Two prototypes a last bit apart beside a far one: the centred scores round them to either order.
    base = draw(40, 8)
    prototypes = torch.cat((base, torch.nextafter(base, torch.tensor(torch.inf)), draw(1, 8) + 1e3))
    found = find_bmus(base, prototypes)
    assert (found.distance <= found.second_distance).all()
    ties = found.distance == found.second_distance
    assert (found.bmu < found.second)[ties].all()


def test_one_unit_is_first_and_second():
    found = find_bmus(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
    assert [part.tolist() for part in found] == [[0], [0], [5.0], [5.0]]


def test_no_codes_give_no_winners():
    assert [part.shape for part in find_bmus(torch.zeros(0, 2), torch.zeros(3, 2))] == [(0,)] * 4


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


def test_chunk_must_be_positive():
    with pytest.raises(ValueError, match="at least 1 code; got chunk=0"):
        find_bmus(torch.zeros(1, 1), torch.zeros(1, 1), chunk=0)

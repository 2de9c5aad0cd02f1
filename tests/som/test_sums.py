import pytest
import torch

from som import Lattice, neighbourhood_factors
from som.sums import UnitSums, smoothed_sums
from tests.som import reference


@pytest.mark.parametrize("largest", [None, 5.0])
def test_sums_and_counts_match_loops(largest):
    codes, bmu = reference.draw(23, 4), torch.randint(0, 15, (23,), generator=torch.Generator().manual_seed(0))
    sums = UnitSums(torch.zeros(15, 4), largest)
    for part, units in zip(codes.split(5), bmu.split(5), strict=True):
        sums.add(part, units)
    sums.reduce()  # nothing to do in one process
    for k in range(15):
        torch.testing.assert_close(sums.codes[k], codes[bmu == k].sum(0))
        assert sums.counts[k] == (bmu == k).sum()


def test_fixed_point_sums_do_not_depend_on_order_and_float_sums_do():
    codes = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)) * torch.logspace(-4, 0, 2000)[:, None]
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(1))
    bmu = torch.zeros(2000, dtype=torch.int64)

    def total(codes, largest, size):
        sums = UnitSums(torch.zeros(1, 3), largest)
        for part in codes.split(size):
            sums.add(part, bmu[: len(part)])
        return sums.codes

    largest = float(codes.abs().max())
    assert torch.equal(total(codes, largest, 77), total(codes[order], largest, 500))
    assert not torch.equal(total(codes, None, 77), total(codes[order], None, 500))
    torch.testing.assert_close(total(codes, largest, 77).double(), codes.double().sum(0)[None], rtol=1e-6, atol=1e-6)


def test_fixed_point_sums_hold_4_million_codes_of_the_largest_size():
    sums = UnitSums(torch.zeros(2, 1), 3.0)
    for _ in range(2**22 // 2**20):
        sums.add(torch.full((2**20, 1), -3.0), torch.ones(2**20, dtype=torch.int64))
    assert sums.codes.tolist() == [[0.0], [-3.0 * 2**22]]


@pytest.mark.parametrize("samples", [1, 2**22, 2**22 + 1, 10**9])
def test_no_number_of_codes_overflows(samples):
    sums = UnitSums(torch.zeros(1, 1), 3.0, samples)
    sums.add(torch.full((1, 1), 3.0), torch.tensor([0]))
    assert int(sums.total) * samples < 2**63
    assert int(sums.total) * samples >= 2**40
    assert sums.codes.item() == 3.0


def test_sums_of_zeros():
    sums = UnitSums(torch.zeros(2, 1), 0.0)
    sums.add(torch.zeros(3, 1), torch.tensor([0, 1, 1]))
    assert sums.codes.tolist() == [[0.0], [0.0]]
    sums.add(torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64))
    assert sums.counts.tolist() == [1, 2]


# 5 codes are fewer than rows + cols, 23 are more: the two take different ways.
@pytest.mark.parametrize("batch", [0, 1, 5, 23])
@pytest.mark.parametrize("kind", ["gaussian", "wrapped_gaussian", "bubble"])
@pytest.mark.parametrize("topology", ["torus", "plane"])
def test_smoothed_sums_match_loops(batch, kind, topology):
    codes = reference.draw(batch, 4)
    bmu = torch.randint(0, 15, (batch,), generator=torch.Generator().manual_seed(0))
    factors = neighbourhood_factors(kind, Lattice(3, 5, topology), 1.2)
    numerator, denominator = smoothed_sums(codes, bmu, factors)
    h = reference.weights(bmu, 3, 5, topology, 1.2, kind)
    torch.testing.assert_close(numerator.double(), h.T @ codes.double(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(denominator.double(), h.sum(0), rtol=1e-5, atol=1e-5)

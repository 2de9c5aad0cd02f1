import pytest
import torch

from som import Lattice, neighbourhood_factors, neighbourhood_weights, smooth
from tests.som import reference

KINDS = ["gaussian", "wrapped_gaussian", "bubble"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize(("rows", "cols"), [(3, 5), (4, 7), (5, 2), (1, 4), (1, 1)])
@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.6])
def test_weights_match_loops(kind, topology, rows, cols, sigma):
    bmu = torch.arange(rows * cols)
    found = neighbourhood_weights(neighbourhood_factors(kind, Lattice(rows, cols, topology), sigma), bmu)
    expected = reference.weights(bmu, rows, cols, topology, sigma, kind)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.01, 0.7, 3.0, 12.0, 100.0])
def test_the_wrapped_gaussian_is_the_sum_over_images(sigma):
    factors = neighbourhood_factors("wrapped_gaussian", Lattice(4, 7), sigma, dtype=torch.float64)
    found = neighbourhood_weights(factors, torch.arange(28))
    torch.testing.assert_close(found, reference.table(4, 7, "torus", sigma, "wrapped_gaussian"), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("tail", [(), (2,), (2, 3)])
def test_smooth_is_the_full_matrix_product(kind, topology, tail):
    factors = neighbourhood_factors(kind, Lattice(3, 5, topology), 1.1, dtype=torch.float64)
    field = reference.draw(15, *tail).double()
    expected = torch.tensordot(reference.table(3, 5, topology, 1.1, kind), field, dims=1)
    torch.testing.assert_close(smooth(factors, field), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_sigma_may_be_a_tensor(kind):
    lattice = Lattice(3, 4)
    number, tensor = (neighbourhood_factors(kind, lattice, sigma) for sigma in (0.7, torch.tensor(0.7)))
    for one, other in zip(number, tensor, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_sigma_leaves_the_bmu_alone(kind):
    weights = neighbourhood_weights(neighbourhood_factors(kind, Lattice(3, 4), 1e-30), torch.tensor([5]))
    assert weights[0].tolist() == [float(k == 5) for k in range(12)]


def test_a_bubble_includes_its_rim():
    rows, cols = neighbourhood_factors("bubble", Lattice(3, 7), 2.0)
    assert cols[0].tolist() == [1, 1, 1, 0, 0, 1, 1]
    assert rows.min() == 1


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan")])
def test_sigma_must_be_above_0(sigma):
    with pytest.raises(ValueError, match=f"above 0 lattice steps; got sigma={sigma}"):
        neighbourhood_factors("gaussian", Lattice(3, 4), sigma)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"'hat' is unknown; choose one of 'gaussian', 'wrapped_gaussian', 'bubble'"):
        neighbourhood_factors("hat", Lattice(3, 4), 1.0)

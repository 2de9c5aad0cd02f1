import pytest
import torch

from som import Lattice, gaussian, neighbourhood_weights, smooth
from tests.som import reference


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize(("rows", "cols"), [(3, 4), (5, 2), (1, 4), (1, 1)])
def test_weights_match_loops(rows, cols, topology):
    bmu = torch.arange(rows * cols)
    factors = gaussian(Lattice(rows, cols, topology), 1.3)
    found = neighbourhood_weights(factors, bmu)
    expected = reference.weights(bmu, rows, cols, topology, 1.3)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("tail", [(), (2,), (2, 3)])
def test_smooth_is_the_full_matrix_product(tail):
    factors = gaussian(Lattice(3, 4), 0.8)
    field = torch.randn(12, *tail, generator=torch.Generator().manual_seed(0))
    full = reference.weights(torch.arange(12), 3, 4, "torus", 0.8)
    expected = torch.tensordot(full, field.double(), dims=1)
    torch.testing.assert_close(smooth(factors, field).double(), expected, rtol=1e-5, atol=1e-6)


def test_sigma_may_be_a_tensor():
    lattice = Lattice(3, 4)
    for number, tensor in zip(gaussian(lattice, 0.7), gaussian(lattice, torch.tensor(0.7)), strict=True):
        torch.testing.assert_close(number, tensor)


def test_tiny_sigma_leaves_the_bmu_alone():
    weights = neighbourhood_weights(gaussian(Lattice(3, 4), 1e-30), torch.tensor([5]))
    assert weights[0].tolist() == [float(k == 5) for k in range(12)]


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan")])
def test_sigma_must_be_above_0(sigma):
    with pytest.raises(ValueError, match=f"above 0 lattice steps; got sigma={sigma}"):
        gaussian(Lattice(3, 4), sigma)

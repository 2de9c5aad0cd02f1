import pytest
import torch

from som import Lattice, neighbourhood_factors
from som.low_rank import LEAST, Spectrum, spectrum
from tests.som import reference


def full(modes: Spectrum):
    """The K x K matrix that a spectrum stands for."""
    vectors = torch.kron(modes.rows, modes.cols)
    return vectors @ torch.diag(modes.values.flatten()) @ vectors.T


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("kind", ["gaussian", "wrapped_gaussian", "bubble"])
@pytest.mark.parametrize("sigma", [0.5, 1.5, 5.0])
def test_a_spectrum_is_the_neighbourhood(kind, topology, sigma):
    found = full(spectrum(neighbourhood_factors(kind, Lattice(4, 7, topology), sigma)))
    expected = reference.table(4, 7, topology, sigma, kind)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=3e-5)


def test_wide_smooth_neighbourhoods_have_few_modes_and_others_many():
    def rank(kind, sigma, topology="torus"):
        return spectrum(neighbourhood_factors(kind, Lattice(12, 20, topology), sigma)).rank

    assert rank("wrapped_gaussian", 100.0) == 1
    assert rank("wrapped_gaussian", 6.0) < 40
    assert rank("wrapped_gaussian", 6.0, "plane") < 60
    assert rank("gaussian", 6.0) > 200
    assert rank("wrapped_gaussian", 0.3) == 240


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("sigma", [1.0, 2.0, 9.0])
def test_factors_reproduce_the_dense_update(topology, sigma):
    factors = neighbourhood_factors("wrapped_gaussian", Lattice(4, 7, topology), sigma)
    sums, counts = reference.draw(28, 3), torch.randint(1, 9, (28,), generator=torch.Generator().manual_seed(0))
    h = reference.table(4, 7, topology, sigma, "wrapped_gaussian")
    denominator = h @ counts.double()
    modes = spectrum(factors)
    left, right = modes.factorise(sums, denominator.float())
    assert left.shape == (28, modes.rank)
    assert right.shape == (modes.rank, 3)
    torch.testing.assert_close((left @ right).double(), h @ sums.double() / denominator[:, None], rtol=1e-4, atol=1e-5)


def test_negligible_modes_are_zeros():
    modes = spectrum(neighbourhood_factors("wrapped_gaussian", Lattice(9, 11), 2.0))
    assert modes.rank == (modes.values != 0).sum() < modes.values.numel()
    kept = modes.values[modes.values != 0].abs()
    assert kept.min() > LEAST * kept.max()

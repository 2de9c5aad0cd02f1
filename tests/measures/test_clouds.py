import math

import pytest
import torch
from scipy import stats

from measures import energy_distances, mmd, uniform_hits
from measures.clouds import straight_kernel, von_mises_kernel
from measures.pairs import distance_kernel
from som import Lattice
from tests.measures import reference


def straight(a, b, lattice):
    """Distance in the space where the flat torus is the product of two circles of circumference rows and cols."""

    def place(x):
        turns = [2 * math.pi * x[0] / lattice.rows, 2 * math.pi * x[1] / lattice.cols]
        radii = [lattice.rows / (2 * math.pi), lattice.cols / (2 * math.pi)]
        return [f(t) * r for t, r in zip(turns, radii, strict=True) for f in (math.cos, math.sin)]

    return math.dist(place(a), place(b)) if lattice.topology == "torus" else math.dist(a, b)


def kernel(a, b, lattice, sigma):
    if lattice.topology == "plane":
        return math.exp(-(math.dist(a, b) ** 2) / (2 * sigma**2))
    densities = [
        stats.vonmises.pdf(2 * math.pi * (x - y) / side, (side / (2 * math.pi * sigma)) ** 2)
        / stats.vonmises.pdf(0, (side / (2 * math.pi * sigma)) ** 2)
        for x, y, side in zip(a, b, (lattice.rows, lattice.cols), strict=True)
    ]
    return float(densities[0] * densities[1])


def contrast(x, y, function):
    cross = sum(function(a, b) for a in x for b in y) / (len(x) * len(y))
    inside = [
        sum(function(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j) / (len(z) * (len(z) - 1))
        for z in (x, y)
    ]
    return 2 * cross - sum(inside)


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("values", [1, 2**22])
def test_match_loops_over_pairs(topology, values, monkeypatch):
    monkeypatch.setattr("measures.clouds.VALUES", values)
    lattice = Lattice(5, 7, topology)
    hits, _ = reference.blobs(lattice, 3, 6, spread=1.5)
    energies, discrepancies = energy_distances(hits, lattice), mmd(hits, lattice, sigma=1.5)
    samples = reference.samples_of(hits, 7)
    for i in range(3):
        for j in range(3):
            if i == j:
                assert energies[i, j] == discrepancies[i, j] == 0
                continue
            x, y = samples[i], samples[j]
            energy = contrast(x, y, lambda a, b: straight(a, b, lattice))
            discrepancy = -contrast(x, y, lambda a, b: kernel(a, b, lattice, 1.5))
            assert energies[i, j].item() == pytest.approx(energy, abs=1e-9)
            assert discrepancies[i, j].item() == pytest.approx(discrepancy, abs=1e-9)


def test_on_a_line_it_is_scipys_energy_distance():
    lattice = Lattice(1, 12, "plane")
    hits, _ = reference.blobs(lattice, 2, 9, spread=3.0)
    x, y = ([col for _, col in samples] for samples in reference.samples_of(hits, 12))
    # Scipy's counts pairs of a sample with itself; equation by equation, that scales what is within by (n - 1) / n.
    selves = sum(abs(a - b) for z in (x, y) for a in z for b in z) / 81
    unbiased = stats.energy_distance(x, y) ** 2 + selves - selves * 9 / 8
    assert energy_distances(hits, lattice)[0, 1].item() == pytest.approx(unbiased)


@pytest.mark.parametrize("sides", [(40, 40), (12, 16), (5, 7), (1, 6)])
def test_kernels_are_of_the_kind_that_the_theory_asks_for(sides):
    # On a torus, a function of the displacement is of strictly negative type if all Fourier coefficients but the first
    # are negative, and strictly positive definite if all are positive.
    lattice = Lattice(*sides)
    assert (torch.fft.fft2(straight_kernel(lattice)).real.flatten()[1:] < 0).all()
    assert (torch.fft.fft2(von_mises_kernel(lattice, 1.0)).real > 0).all()
    if min(sides) > 1:
        assert torch.fft.fft2(distance_kernel(lattice)).real.flatten()[1:].max() > 1  # the lattice distance is not


def test_the_lattice_distance_would_miss_opposite_clouds():
    # Why it is not used: two clouds, each on two opposite places of a ring, read 0 by the distance round the ring.
    lattice = Lattice(1, 8)
    hits = torch.tensor([[500, 0, 0, 0, 500, 0, 0, 0], [0, 0, 500, 0, 0, 0, 500, 0]])
    x, y = reference.samples_of(hits // 50, 8)
    biased = [
        2 * sum(f(a, b) for a in x for b in y) - sum(f(a, b) for z in (x, y) for a in z for b in z)
        for f in (lambda a, b: reference.distance(a, b, lattice), lambda a, b: straight(a, b, lattice))
    ]
    assert biased[0] == 0
    assert biased[1] > 0
    assert energy_distances(hits, lattice)[0, 1] > 0.2


def test_equal_distributions_read_0_on_average_and_rolling_changes_nothing():
    lattice, generator = Lattice(5, 7), torch.Generator().manual_seed(0)
    hits = uniform_hits(torch.full((60,), 10), 35, generator)
    for measure in (energy_distances, mmd):
        found = measure(hits, lattice)
        off = found[~torch.eye(60, dtype=torch.bool)]
        assert off.mean().abs() < 0.1 * off.std()
        assert (off < 0).any()
        torch.testing.assert_close(measure(reference.roll(hits, lattice, 2, 3), lattice), found)
        torch.testing.assert_close(found, found.T)


def test_bad_input():
    lattice = Lattice(3, 4)
    hits = torch.zeros(3, 12, dtype=torch.int64)
    hits[0, 0], hits[1, 1] = 4, 1
    found = energy_distances(hits, lattice)
    assert found[0, 0] == 0
    assert found.isnan().sum() == 8
    assert mmd(hits[:0], lattice).shape == (0, 0)
    with pytest.raises(ValueError, match="sigma must be above 0 lattice steps; got sigma=0"):
        mmd(hits, lattice, sigma=0)

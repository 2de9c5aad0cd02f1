from itertools import pairwise, permutations

import pytest
import torch
from sklearn import manifold

from measures import continuity, trustworthiness
from measures.neighbourhoods import _between, _preservation
from som import Lattice
from tests.som import reference


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def units(count, lattice, seed=0):
    return torch.randint(lattice.units, (count,), generator=torch.Generator().manual_seed(seed))


def lattice_table(bmu, lattice):
    shape = (lattice.rows, lattice.cols, lattice.topology)
    return [[reference.lattice_distance(a, b, *shape) for b in bmu.tolist()] for a in bmu.tolist()]


def code_table(codes):
    return [[round(float((a - b).square().sum()), 9) for b in codes] for a in codes]


def expected_value(near, ranked, k):
    """The formula, averaged over every order of the ties of both tables; tables are lists of rows."""
    n = len(near)

    def orders(distances, i):
        others = [j for j in range(n) if j != i]
        return [o for o in permutations(others) if all(distances[a] <= distances[b] for a, b in pairwise(o))]

    penalty = 0.0
    for i in range(n):
        by_near, by_rank = orders(near[i], i), orders(ranked[i], i)
        for first in by_near:
            for second in by_rank:
                ranks = {j: rank for rank, j in enumerate(second, start=1)}
                penalty += sum(max(0, ranks[j] - k) for j in first[:k]) / (len(by_near) * len(by_rank))
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("seed", [0, 1])
def test_ties_count_with_their_expected_value(k, topology, seed):
    lattice = Lattice(2, 3, topology)
    codes = normal(6, 2, seed=seed).round()  # integers: ties in code space, too
    bmu = units(6, lattice, seed)
    near, far = lattice_table(bmu, lattice), code_table(codes)
    assert trustworthiness(codes, bmu, lattice, k).item() == pytest.approx(expected_value(near, far, k), abs=1e-6)
    assert continuity(codes, bmu, lattice, k).item() == pytest.approx(expected_value(far, near, k), abs=1e-6)


def test_all_orders_of_ties_average_to_it():
    # The other way round: break the lattice's ties at random, as a jitter too small to reorder anything else does.
    lattice = Lattice(3, 4, "plane")
    codes, bmu = normal(40, 3), units(40, lattice)
    places = lattice.coordinates(bmu).double()
    generator = torch.Generator().manual_seed(0)
    draws = [
        manifold.trustworthiness(
            codes.numpy(), (places + 1e-3 * torch.randn(40, 2, generator=generator)).numpy(), n_neighbors=4
        )
        for _ in range(300)
    ]
    mean, error = torch.tensor(draws).mean().item(), torch.tensor(draws).std().item() / 300**0.5
    assert abs(trustworthiness(codes, bmu, lattice, 4).item() - mean) < 5 * error + 2e-3


@pytest.mark.parametrize("k", [1, 5, 12, 24])
def test_without_ties_both_equal_scikit_learn(k):
    lattice = Lattice(5, 7, "plane")
    bmu = units(50, lattice)
    places = lattice.coordinates(bmu) + 0.3 * normal(50, 2, seed=1)
    codes = torch.cat((places, normal(50, 2, seed=2)), 1) + 1000
    trust = manifold.trustworthiness(codes.numpy(), places.numpy(), n_neighbors=k)
    cont = manifold.trustworthiness(places.numpy(), codes.numpy(), n_neighbors=k)
    assert _preservation(_between(places), _between(codes), 50, k).item() == pytest.approx(trust, abs=1e-6)
    assert _preservation(_between(codes), _between(places), 50, k).item() == pytest.approx(cont, abs=1e-6)


def test_on_a_lattice_without_ties_it_equals_scikit_learn():
    # One row of units at distinct distances from one another: 0, 1, 4, 9, 15 is a Golomb ruler, with no equal gaps.
    bmu, lattice = torch.tensor([0, 1, 4, 9, 15]), Lattice(1, 16, "plane")
    codes, places = normal(5, 3), lattice.coordinates(bmu).double()
    for k in (1, 2):
        trust = manifold.trustworthiness(codes.numpy(), places.numpy(), n_neighbors=k)
        cont = manifold.trustworthiness(places.numpy(), codes.numpy(), n_neighbors=k)
        assert trustworthiness(codes, bmu, lattice, k).item() == pytest.approx(trust, abs=1e-6)
        assert continuity(codes, bmu, lattice, k).item() == pytest.approx(cont, abs=1e-6)


@pytest.mark.parametrize("values", [1, 70, 1000])
def test_chunks_change_nothing(monkeypatch, values):
    lattice = Lattice(3, 4)
    codes, bmu = normal(30, 3), units(30, lattice)
    expected = [measure(codes, bmu, lattice).item() for measure in (trustworthiness, continuity)]
    monkeypatch.setattr("measures.neighbourhoods.VALUES", values)
    found = [measure(codes, bmu, lattice).item() for measure in (trustworthiness, continuity)]
    assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("measure", [trustworthiness, continuity])
def test_rolling_the_map_or_moving_the_codes_changes_nothing(measure):
    lattice = Lattice(4, 5)
    codes, bmu = normal(30, 3), units(30, lattice)
    row, col = lattice.coordinates(bmu).unbind(1)
    rolled = (row + 3) % 4 * 5 + (col + 2) % 5
    assert measure(codes, rolled, lattice) == measure(codes, bmu, lattice)
    assert measure(2 * codes + 64, bmu, lattice) == measure(codes, bmu, lattice)


def ring(count):
    angle = torch.arange(count) * 2 * torch.pi / count
    return torch.stack((angle.cos(), angle.sin()), 1)


def test_the_seam_is_no_tear():
    # Left and right neighbours tie in both spaces, and both are in or out when k is even.
    codes, bmu = ring(12), torch.arange(12)
    for measure in (trustworthiness, continuity):
        assert measure(codes, bmu, Lattice(1, 12), 4).item() == 1.0
        assert measure(codes, bmu, Lattice(1, 12, "plane"), 4).item() < 0.97


def test_folding_costs_trust_and_tearing_costs_continuity():
    line = torch.linspace(0, 1, 40)[:, None] ** 1.1
    folded = torch.cat((torch.arange(20), torch.arange(20).flip(0)))  # both ends at one place, the middle at the other
    lattice = Lattice(1, 60, "plane")
    assert continuity(line, folded, lattice, 4) > trustworthiness(line, folded, lattice, 4) + 0.1
    circle, cut = ring(40), torch.arange(40)
    assert trustworthiness(circle, cut, lattice, 4) > continuity(circle, cut, lattice, 4)


@pytest.mark.parametrize("measure", [trustworthiness, continuity])
def test_higher_is_better_and_chance_is_a_half(measure):
    lattice = Lattice(1, 400, "plane")
    line = torch.arange(400.0)[:, None]
    order = torch.arange(400)
    shuffled = order[torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    assert measure(line, order, lattice, 4).item() == 1.0
    assert 0.999 < measure(line, order, lattice, 5).item() < 1.0, "ties that only one neighbour too many can win"
    assert measure(line, shuffled, lattice).item() == pytest.approx(0.5, abs=0.03)
    assert measure(line, order * 0, lattice).item() == pytest.approx(0.5, abs=0.01), "one unit tells nothing"
    assert measure(line * 0 + 0.1, order, lattice).item() == pytest.approx(0.5, abs=0.01), "neither do equal codes"


@pytest.mark.parametrize("measure", [trustworthiness, continuity])
def test_the_order_of_the_samples_does_not_matter(measure):
    lattice = Lattice(3, 4)
    codes, bmu = normal(30, 3).repeat(2, 1), units(30, lattice).repeat(2)  # duplicates: ties to be found
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    assert measure(codes[order], bmu[order], lattice).item() == pytest.approx(
        measure(codes, bmu, lattice).item(), abs=1e-7
    )


@pytest.mark.parametrize("measure", [trustworthiness, continuity])
@pytest.mark.parametrize(
    ("codes", "bmu", "k", "message"),
    [
        (torch.zeros(6, 2), torch.zeros(5, dtype=torch.int64), 2, r"got shapes \(6, 2\) and \(5,\)"),
        (torch.zeros(6), torch.zeros(6, dtype=torch.int64), 2, r"got shapes \(6,\) and \(6,\)"),
        (torch.zeros(6, 2), torch.zeros(6, dtype=torch.int64), 3, r"below half of the 6 samples; got 3"),
        (torch.zeros(6, 2), torch.zeros(6, dtype=torch.int64), 0, r"from 1 .*; got 0"),
        (torch.full((6, 2), torch.nan), torch.zeros(6, dtype=torch.int64), 2, r"row 0 holds NaN"),
        (torch.zeros(6, 2), torch.full((6,), 12), 2, r"unit 12 is outside \[0, 12\)"),
    ],
)
def test_refusals(measure, codes, bmu, k, message):
    with pytest.raises(ValueError, match=message):
        measure(codes, bmu, Lattice(3, 4), k)

import math

import pytest
import torch

from measures import distance_ratio, effective_units, jackknife, uniform_hits
from measures.intervals import deal, shuffled_cells
from som import Lattice
from tests.measures import reference


def test_dealing_loses_nothing_and_is_even_in_each_class():
    hits, _ = reference.blobs(Lattice(5, 7), 4, 23, spread=1.0)
    hits[1] = 0
    hits[3] = torch.eye(35, dtype=torch.int64)[2]
    parts = deal(hits, 5, seed=0)
    assert torch.equal(sum(parts), hits)
    by_class = torch.stack([part.sum(1) for part in parts])
    assert ((by_class.amax(0) - by_class.amin(0)) <= 1).all()
    assert not torch.equal(parts[0], deal(hits, 5, seed=1)[0])


def test_cells_come_class_by_class_in_random_order():
    hits = torch.tensor([[3, 1, 2], [0, 0, 0], [2, 2, 9]])
    cells = shuffled_cells(hits, torch.Generator().manual_seed(0))
    assert torch.equal(cells.bincount(minlength=9).view(3, 3), hits)
    assert torch.equal((cells // 3).sort().values, cells // 3)
    first = [int(shuffled_cells(hits, torch.Generator().manual_seed(seed))[0]) for seed in range(300)]
    assert first.count(0) / 300 == pytest.approx(0.5, abs=0.1)


def test_of_a_mean_it_is_the_classical_error():
    # Of a share p of n samples the error is sqrt(p (1 - p) / (n - 1)); exactly so with one sample a group.
    hits = torch.tensor([[12, 28]])
    found = jackknife(lambda table: {"share": table[0, 0].double() / table.sum()}, hits, groups=40)["share"]
    assert found.value == pytest.approx(0.3)
    assert found.error == pytest.approx((0.3 * 0.7 / 39) ** 0.5)
    assert found.high - found.value == pytest.approx(2.0227 * found.error, rel=1e-4)


def test_intervals_cover():
    lattice, generator = Lattice(5, 7), torch.Generator().manual_seed(0)
    density = reference.blobs(lattice, 3, 5000, spread=1.5)[0].double()
    truth = {"units": effective_units(density.sum(0)).item(), "ratio": distance_ratio(density, lattice).item()}
    covered = dict.fromkeys(truth, 0)
    for seed in range(100):
        draws = [torch.multinomial(row, 60, replacement=True, generator=generator) for row in density]
        hits = torch.stack([draw.bincount(minlength=35) for draw in draws])
        found = jackknife(
            lambda table: {"units": effective_units(table.sum(0)), "ratio": distance_ratio(table, lattice)},
            hits,
            seed=seed,
        )
        for name, value in truth.items():
            covered[name] += found[name].low < value < found[name].high
    assert all(88 <= count <= 100 for count in covered.values()), covered


def test_the_bootstrap_would_mislead():
    # Why it is not used: samples drawn twice share a unit with themselves.
    generator = torch.Generator().manual_seed(0)
    hits = uniform_hits(torch.tensor([200]), 1600, generator)
    cells = shuffled_cells(hits, generator)
    again = [cells[torch.randint(200, (200,), generator=generator)].bincount(minlength=1600) for _ in range(50)]
    bootstrap = sum(1 / effective_units(table).item() for table in again) / 50
    assert bootstrap > 4 / 1600


def test_undefined_statistics_have_no_bounds():
    found = jackknife(
        lambda table: {"nan": table.sum() / 0 * 0, "inf": 1 / (table.sum().double() * 0)}, torch.tensor([[3]])
    )
    assert math.isnan(found["nan"].low)
    assert found["inf"].value == math.inf
    assert math.isnan(found["inf"].low)
    empty = jackknife(lambda table: {"sum": table.sum()}, torch.zeros(2, 3, dtype=torch.int64))["sum"]
    assert (empty.low, empty.high) == (0, 0)
    with pytest.raises(ValueError, match="a jackknife needs 2 groups or more; got groups=1"):
        jackknife(lambda table: {}, torch.ones(1, 1), groups=1)
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
        jackknife(lambda table: {}, torch.ones(1, 1), confidence=95)

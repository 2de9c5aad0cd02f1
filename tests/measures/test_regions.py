import math

import numpy as np
import pytest
import torch

from measures import ClassRegions, center_rank, class_centers, leaving_depth
from som import Lattice

LATTICE = Lattice(3, 5)


@pytest.fixture
def hits():
    table = torch.from_numpy(np.random.default_rng(0).poisson(0.8, (4, 15))).long()
    table[2] = 0  # a class without samples
    return table


def reference(hits, sigma) -> np.ndarray:
    """p(c | k), by loops over units."""
    counts = hits.double().numpy()
    smoothed = np.zeros((4, 15))
    for unit in range(15):
        for other in range(15):
            rows, cols = (abs(a - b) for a, b in zip(divmod(unit, 5), divmod(other, 5), strict=True))
            squared = min(rows, 3 - rows) ** 2 + min(cols, 5 - cols) ** 2
            smoothed[:, unit] += math.exp(-squared / (2 * sigma**2)) * counts[:, other]
    weighed = smoothed + (counts.sum(1) / counts.sum())[:, None]
    return weighed / weighed.sum(0)


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.5])
def test_probabilities_against_loops(hits, sigma):
    regions = ClassRegions(hits, LATTICE, sigma)
    expected = reference(hits, sigma)
    units = torch.arange(15)
    np.testing.assert_allclose(regions.probabilities(units).T, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(regions.probabilities(units).sum(1), 1, rtol=1e-5)
    own, other = torch.randint(4, (2, 15), generator=torch.Generator().manual_seed(1))
    found = regions.log_odds(units, own, other)
    for unit in range(15):
        if 2 in (own[unit], other[unit]):
            assert found[unit].isnan(), "a class without samples has no region"
        else:
            odds = math.log(expected[own[unit], unit] / expected[other[unit], unit])
            assert float(found[unit]) == pytest.approx(odds, abs=1e-5)


def test_density_sums_to_1_and_rolls_with_the_map(hits):
    regions = ClassRegions(hits, LATTICE)
    assert float(regions.density.sum()) == pytest.approx(1)
    rolled = hits.view(4, 3, 5).roll((1, 2), (1, 2)).reshape(4, 15)
    moved = ClassRegions(rolled, LATTICE).density
    torch.testing.assert_close(moved, regions.density.view(3, 5).roll((1, 2), (0, 1)).flatten())
    torch.testing.assert_close(regions.log_density(torch.arange(15)).exp().double(), regions.density, rtol=1e-5, atol=0)


def test_regions_need_samples():
    with pytest.raises(ValueError, match="class regions need the BMUs of labelled samples; got none"):
        ClassRegions(torch.zeros(4, 15, dtype=torch.int64), LATTICE)
    with pytest.raises(ValueError, match="hits must be"):
        ClassRegions(torch.ones(4, 14, dtype=torch.int64), LATTICE)


def test_leaving_depth_by_hand():
    nan = math.nan
    table = {  # before, after: depth
        ((1, 1, 1), (1, -1, -1)): (1, True),
        ((1, 1, 1), (-1, -1, -1)): (0, True),
        ((1, 1, 1), (-1, 1, -1)): (2, True),  # it came back once
        ((1, 1, 1), (1, 1, 1)): (3, True),
        ((1, 1, 1), (-1, -1, 1)): (3, True),  # and at last
        ((-1, 1, 1), (-1, -1, -1)): (1, True),  # it was never in its region at the first depth
        ((1, 1, -1), (-1, -1, 1)): (0, True),  # nor here at the last
        ((-1, -1, 0), (-1, -1, -1)): (3, False),
        ((nan, nan, nan), (nan, nan, nan)): (3, False),
    }
    before, after = (torch.tensor(rows).T for rows in zip(*table, strict=True))
    first, inside = leaving_depth(before, after)
    assert list(zip(first.tolist(), inside.tolist(), strict=True)) == list(table.values())


def test_ranks_against_sorting(hits, monkeypatch):
    centers = class_centers(hits, LATTICE).center
    bmu = torch.arange(15)
    for label in (0, 1, 2, 3):
        found = center_rank(bmu, torch.full((15,), label), centers, LATTICE)
        if label == 2:
            assert found.isnan().all()
            continue
        for unit in range(15):
            row, col = divmod(unit, 5)
            apart = []
            for r, c in centers.tolist():
                rows, cols = abs(r - row), abs(c - col)
                apart.append(math.hypot(min(rows, 3 - rows), min(cols, 5 - cols)))
            known = [each for each in apart if not math.isnan(each)]
            nearer = sum(each < apart[label] - 1e-12 for each in known)
            equal = sum(abs(each - apart[label]) < 1e-12 for each in known)
            assert float(found[unit]) == pytest.approx(nearer + (equal + 1) / 2)
    whole = center_rank(bmu, bmu % 2, centers, LATTICE)
    monkeypatch.setattr("measures.regions.CELLS", 8)
    assert torch.equal(center_rank(bmu, bmu % 2, centers, LATTICE), whole)

import math

import pytest
import torch

from measures import (
    CenterDistance,
    class_centers,
    distances_between_centers,
    distances_to_centers,
    mean_center_distance,
    paper_naive_centers,
    uniform_center_distance,
)
from som import Lattice
from tests.measures import reference


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("points", [1, 70, 2**17])
def test_are_means_over_samples(topology, points, monkeypatch):
    monkeypatch.setattr("measures.center_distances.POINTS", points)
    lattice = Lattice(5, 7, topology)
    hits, _ = reference.blobs(lattice, 4, 12, spread=1.5)
    centers = torch.rand(4, 2, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([5, 7])
    expected = [
        sum(reference.distance(x, center, lattice) for x in samples) / len(samples)
        for samples, center in zip(reference.samples_of(hits, 7), centers.tolist(), strict=True)
    ]
    assert distances_to_centers(hits, centers, lattice).tolist() == pytest.approx(expected)
    between = [[reference.distance(a, b, lattice) for b in centers.tolist()] for a in centers.tolist()]
    torch.testing.assert_close(distances_between_centers(centers, lattice), torch.tensor(between).double())


@pytest.mark.parametrize(
    ("samples", "expected", "error"), [(10, 12.02, 0.1), (50, 13.84, 0.06), (200, 14.57, 0.04), (1300, 15.01, 0.02)]
)
def test_what_uniform_bmus_read(samples, expected, error):
    # Of an independent calculation on 40 x 40, except n = 10, by a grid search of 4,000 draws.
    assert uniform_center_distance(samples, Lattice(40, 40), draws=1000).item() == pytest.approx(expected, abs=error)


def test_rolling_changes_no_distance_but_the_papers():
    lattice = Lattice(5, 7)
    hits, _ = reference.blobs(lattice, 30, 40, spread=0.8)
    rolled = reference.roll(hits, lattice, 2, 3)
    both = [class_centers(each, lattice).center for each in (hits, rolled)]
    torch.testing.assert_close(
        *(distances_to_centers(h, c, lattice) for h, c in zip((hits, rolled), both, strict=True))
    )
    torch.testing.assert_close(*(distances_between_centers(c, lattice) for c in both))
    naive = [distances_to_centers(each, paper_naive_centers(each, lattice), lattice).mean() for each in (hits, rolled)]
    assert (naive[0] - naive[1]).abs() > 0.02
    assert mean_center_distance(hits, lattice) < naive[0] / 1.3


def test_metric_leaves_empty_classes_out_and_lower_is_compact():
    lattice = Lattice(5, 7)
    compact, _ = reference.blobs(lattice, 3, 40, spread=0.5)
    wide, _ = reference.blobs(lattice, 3, 40, spread=2.0)
    found = []
    for hits in (compact, wide):
        metric = CenterDistance(5, 7, 4)
        label, bmu = hits.nonzero().repeat_interleave(hits[hits > 0], 0).T
        metric.update(bmu[:50], label[:50])
        metric.update(bmu[50:], label[50:])
        found.append(metric.compute())
        torch.testing.assert_close(found[-1], mean_center_distance(hits, lattice).float())
    assert found[0] < found[1]
    assert metric.higher_is_better is False


def test_edges():
    lattice = Lattice(3, 4)
    assert math.isnan(mean_center_distance(torch.zeros(2, 12, dtype=torch.int64), lattice))
    assert math.isnan(uniform_center_distance(0, lattice))
    assert uniform_center_distance(1, lattice) == 0
    heap = torch.zeros(2, 12, dtype=torch.int64)
    heap[0, 5] = 9
    distances = distances_to_centers(heap, class_centers(heap, lattice).center, lattice)
    assert distances[0] == 0
    assert distances[1].isnan()
    with pytest.raises(ValueError, match=r"centers must be \(2, 2\), one a class; got shape \(1, 2\)"):
        distances_to_centers(heap, torch.zeros(1, 2), lattice)

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import DistanceRatio, distance_ratio, pair_distances
from measures.pairs import box_kernel, pair_means
from som import Lattice
from tests.measures import reference


def mean(values):
    return sum(values) / len(values) if values else math.nan


def by_pairs(hits, lattice, function):
    """Mean within each class and between classes, of a function of two places, pair by pair."""
    classes = reference.samples_of(hits, lattice.cols)
    within = [mean([function(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]) for x in classes]
    between = [
        mean([function(a, b) for a in x for b in y])
        for i, x in enumerate(classes)
        for j, y in enumerate(classes)
        if i != j and x and y
    ]
    return within, mean(between)


@settings(deadline=None, max_examples=80)
@given(reference.tables(4, 12), st.sampled_from(["torus", "plane"]))
def test_matches_a_loop_over_pairs(hits, topology):
    lattice = Lattice(3, 4, topology)
    within, between = by_pairs(hits, lattice, lambda a, b: reference.distance(a, b, lattice))
    found = pair_distances(hits, lattice)
    assert found.within.tolist() == pytest.approx(within, abs=1e-10, nan_ok=True)
    assert found.between.item() == pytest.approx(between, abs=1e-10, nan_ok=True)
    assert found.mean_within.item() == pytest.approx(
        mean([value for value in within if not math.isnan(value)]), abs=1e-10, nan_ok=True
    )


@pytest.mark.parametrize("sides", [(1, 1), (1, 6), (5, 1), (5, 7), (4, 4)])
@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("values", [1, 2**17])
def test_any_sides_any_chunks_any_kernel(sides, topology, values, monkeypatch):
    monkeypatch.setattr("measures.pairs.VALUES", values)
    lattice = Lattice(*sides, topology)
    hits, _ = reference.blobs(lattice, 3, 8, spread=2.0)

    def near(a, b):
        steps = zip(a, b, sides, strict=True)
        return float(all(reference.axis_steps(x, y, side, topology) <= 1 for x, y, side in steps))

    within, between = by_pairs(hits, lattice, near)
    found = pair_means(hits, box_kernel(lattice, 1)[None], lattice)[0]
    assert found.within.tolist() == pytest.approx(within, abs=1e-10)
    assert found.between.item() == pytest.approx(between, abs=1e-10)


def test_rolling_changes_nothing():
    lattice = Lattice(5, 7)
    hits, _ = reference.blobs(lattice, 6, 20, spread=1.0)
    expected = pair_distances(hits, lattice)
    for shift in ((1, 0), (3, 5)):
        found = pair_distances(reference.roll(hits, lattice, *shift), lattice)
        torch.testing.assert_close(found.within, expected.within)
        torch.testing.assert_close(found.between, expected.between)


def test_labels_that_say_nothing_give_1_even_from_few_samples():
    lattice, generator = Lattice(12, 16), torch.Generator().manual_seed(0)
    # Not evenly spread over the map; 3 to 9 samples a class.
    ratios = []
    for _ in range(300):
        hits = torch.zeros(7, 192, dtype=torch.int64)
        for label in range(7):
            units = torch.randint(8, (3 + label, 2), generator=generator).prod(1)
            hits[label] = units.bincount(minlength=192)
        ratios.append(distance_ratio(hits, lattice).item())
    assert mean(ratios) == pytest.approx(1, abs=0.01)


def test_metric_lower_means_apart():
    lattice = Lattice(5, 7)
    ratios = []
    for spread in (0.3, 1.0, 9.0):
        hits, _ = reference.blobs(lattice, 3, 40, spread, seed=1)
        metric = DistanceRatio(5, 7, 3)
        label, bmu = hits.nonzero().repeat_interleave(hits[hits > 0], 0).T
        metric.update(bmu[:50], label[:50])
        metric.update(bmu[50:], label[50:])
        ratios.append(metric.compute().item())
        assert ratios[-1] == distance_ratio(hits, lattice).item()
    assert ratios[0] < ratios[1] < ratios[2]
    assert metric.higher_is_better is False


@pytest.mark.parametrize(
    "hits",
    [
        torch.zeros(2, 12, dtype=torch.int64),  # no samples
        torch.eye(12, dtype=torch.int64)[:1] * 5,  # one class
        torch.eye(12, dtype=torch.int64)[:4],  # one sample a class
        torch.eye(12, dtype=torch.int64)[[5, 5, 5]] * 7,  # all on one unit
    ],
)
def test_undefined_is_nan(hits):
    assert math.isnan(distance_ratio(hits, Lattice(3, 4)))


def test_equal_places_are_at_exactly_0():
    hits = torch.eye(35, dtype=torch.int64)[[3, 3, 9]] * torch.tensor([[1], [1000], [7]])
    found = pair_distances(hits, Lattice(5, 7))
    assert found.within[1:].tolist() == [0, 0]
    assert found.within[0].isnan()

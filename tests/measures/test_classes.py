import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import CollisionLift, NearCollisionLift, collision_lift
from som import Lattice
from tests.measures import reference


def lift_by_pairs(samples, meet=lambda u, v: u == v):
    """Over samples (unit, label), pair by pair."""
    classes = sorted({label for _, label in samples})
    units = {c: [unit for unit, label in samples if label == c] for c in classes}
    same = []
    for c in classes:
        n = len(units[c])
        if n >= 2:
            hits = sum(meet(units[c][i], units[c][j]) for i in range(n) for j in range(n) if i != j)
            same.append(hits / (n * (n - 1)))
    diff = []
    for c in classes:
        for d in classes:
            if c != d:
                diff.append(sum(meet(u, v) for u in units[c] for v in units[d]) / (len(units[c]) * len(units[d])))
    if not same or not diff:
        return math.nan
    same, diff = sum(same) / len(same), sum(diff) / len(diff)
    if diff == 0:
        return math.inf if same > 0 else math.nan
    return same / diff


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 1, 3, 4])), max_size=25))
def test_matches_a_loop_over_pairs(samples):
    # Class 2 is always empty.
    hits = torch.zeros(5, 6, dtype=torch.int64)
    for unit, label in samples:
        hits[label, unit] += 1
    assert collision_lift(hits).item() == pytest.approx(lift_by_pairs(samples), rel=1e-6, nan_ok=True)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 34), st.sampled_from([0, 1, 3, 4])), max_size=20),
    st.sampled_from(["torus", "plane"]),
    st.sampled_from([0, 1, 2]),
)
def test_with_a_radius_matches_a_loop_over_pairs(samples, topology, radius):
    lattice = Lattice(5, 7, topology)

    def meet(u, v):
        steps = zip(divmod(u, 7), divmod(v, 7), (5, 7), strict=True)
        return all(reference.axis_steps(a, b, side, topology) <= radius for a, b, side in steps)

    hits = torch.zeros(5, 35, dtype=torch.int64)
    metric = NearCollisionLift(5, 7, 5, radius, topology)
    for unit, label in samples:
        hits[label, unit] += 1
        metric.update(torch.tensor([unit]), torch.tensor([label]))
    expected = lift_by_pairs(samples, meet)
    assert collision_lift(hits, lattice, radius).item() == pytest.approx(expected, rel=1e-5, nan_ok=True)
    if samples:
        assert metric.compute().item() == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_a_radius_makes_more_samples_meet_and_labels_that_say_nothing_still_give_1():
    lattice, generator = Lattice(20, 20), torch.Generator().manual_seed(0)
    lifts = []
    for _ in range(40):
        bmu, label = (torch.randint(n, (100,), generator=generator) for n in (400, 5))
        lifts.append([collision_lift(_table(bmu, label, 400, 5), lattice, r).item() for r in (0, 2)])
    few, many = torch.tensor(lifts).T
    assert many.mean().item() == pytest.approx(1, abs=0.05)
    assert many.std() < few.std() / 2


def test_radius_is_checked():
    with pytest.raises(ValueError, match="above 0 needs the map's lattice; got radius=1"):
        collision_lift(torch.ones(2, 3), radius=1)
    with pytest.raises(ValueError, match="radius must be 0 or more; got radius=-1"):
        NearCollisionLift(2, 3, 2, radius=-1)


def test_labels_that_say_nothing_give_1_even_from_few_samples():
    generator = torch.Generator().manual_seed(0)
    bmu = torch.randint(400, (40, 500), generator=generator)
    label = torch.randint(10, (40, 500), generator=generator)
    same_different = [collision_lift(_table(b, c, 400, 10)).item() for b, c in zip(bmu, label, strict=True)]
    assert sum(same_different) / len(same_different) == pytest.approx(1, abs=0.05)


def test_metric_accumulates_and_higher_means_apart():
    label = torch.arange(3).repeat_interleave(40)
    generator = torch.Generator().manual_seed(0)
    apart = label * 4 + torch.randint(4, (120,), generator=generator)
    mixed = torch.randint(12, (120,), generator=generator)
    overlapping = torch.where(torch.arange(120) % 2 == 0, apart, mixed)
    lifts = []
    for bmu in (mixed, overlapping, apart):
        metric = CollisionLift(num_units=12, num_classes=3)
        for part in range(0, 120, 50):
            metric.update(bmu=bmu[part : part + 50], label=label[part : part + 50])
        lifts.append(metric.compute().item())
        assert lifts[-1] == collision_lift(_table(bmu, label, 12, 3)).item()
    assert metric.higher_is_better is True
    assert lifts[0] < lifts[1] < lifts[2] == math.inf


@pytest.mark.parametrize(
    "hits",
    [
        torch.zeros(2, 3),  # no samples
        torch.tensor([[3, 1, 0], [0, 0, 0]]),  # one class
        torch.tensor([[1, 0, 0], [1, 0, 0]]),  # no class with two samples
        torch.tensor([[1, 1, 0], [0, 0, 1]]),  # no shared unit
    ],
)
def test_undefined_is_nan(hits):
    assert math.isnan(collision_lift(hits))


def test_no_mixed_unit_is_infinite_whatever_the_rounding():
    hits = torch.zeros(7, 21, dtype=torch.int64)
    for c in range(7):
        hits[c, 3 * c : 3 * c + 3] = torch.tensor([1, 3, 7])
    assert collision_lift(hits).item() == math.inf


def _table(bmu, label, units, classes):
    return torch.bincount(label * units + bmu, minlength=units * classes).view(classes, units)

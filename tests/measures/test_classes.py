import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import CollisionLift, collision_lift


def lift_by_pairs(samples):
    """Over samples (unit, label), pair by pair."""
    classes = sorted({label for _, label in samples})
    units = {c: [unit for unit, label in samples if label == c] for c in classes}
    same = []
    for c in classes:
        n = len(units[c])
        if n >= 2:
            hits = sum(units[c][i] == units[c][j] for i in range(n) for j in range(n) if i != j)
            same.append(hits / (n * (n - 1)))
    diff = []
    for c in classes:
        for d in classes:
            if c != d:
                diff.append(sum(u == v for u in units[c] for v in units[d]) / (len(units[c]) * len(units[d])))
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

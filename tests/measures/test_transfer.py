import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import LabelTransfer, chance_accuracy, label_transfer, left_out_transfer
from measures.nulls import permuted_hits
from som import Lattice
from tests.measures import reference
from tests.som import reference as maps


def scores(samples, unit, lattice, sigma, classes):
    """Votes for each class at a unit, of samples (class, unit)."""
    votes = [0.0] * classes
    for c, u in samples:
        votes[c] += maps.neighbourhood("gaussian", u, unit, lattice.rows, lattice.cols, lattice.topology, sigma)
    return votes


def chance_of(label, votes):
    best = [c for c, vote in enumerate(votes) if vote >= max(votes) * (1 - 1e-9)]
    return (label in best) / len(best)


def listed(hits):
    return [(c, u) for c, row in enumerate(hits.tolist()) for u, count in enumerate(row) for _ in range(count)]


@settings(deadline=None, max_examples=60)
@given(
    reference.tables(3, 12), reference.tables(3, 12), st.sampled_from([0.6, 1.0]), st.sampled_from(["torus", "plane"])
)
def test_matches_a_loop_over_samples(train, test, sigma, topology):
    lattice = Lattice(3, 4, topology)
    named = [chance_of(c, scores(listed(train), u, lattice, sigma, 3)) for c, u in listed(test)]
    expected = sum(named) / len(named) if named else math.nan
    assert label_transfer(train, test, lattice, sigma).item() == pytest.approx(expected, abs=1e-6, nan_ok=True)


@settings(deadline=None, max_examples=80)
@given(reference.tables(3, 12), st.sampled_from([0.6, 1.0]), st.sampled_from(["torus", "plane"]))
def test_leaving_out_is_taking_each_sample_away(hits, sigma, topology):
    lattice, samples = Lattice(3, 4, topology), listed(hits)
    present = sorted({c for c, _ in samples})
    named = []
    for i, (c, u) in enumerate(samples):
        votes = scores(samples[:i] + samples[i + 1 :], u, lattice, sigma, 3)
        named.append(chance_of(present.index(c), [votes[p] for p in present]))
    expected = sum(named) / len(named) if len(present) > 1 else math.nan
    assert left_out_transfer(hits, lattice, sigma).item() == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_a_sample_that_breaks_even_is_named_by_chance():
    for hits, expected in (([[2], [1]], 1 / 3), ([[2], [1], [1]], 1 / 6), ([[3], [1]], 3 / 4), ([[1], [1]], 0)):
        assert left_out_transfer(torch.tensor(hits), Lattice(1, 1)).item() == pytest.approx(expected)


def test_labels_that_say_nothing_read_chance():
    lattice, generator = Lattice(5, 7), torch.Generator().manual_seed(0)
    hits, _ = reference.blobs(lattice, 5, 200, spread=1.0)
    test, _ = reference.blobs(lattice, 5, 100, spread=1.0)
    shuffled = [label_transfer(permuted_hits(hits, generator), test, lattice).item() for _ in range(100)]
    assert sum(shuffled) / 100 == pytest.approx(0.2, abs=0.02)
    assert chance_accuracy(hits, test).item() == pytest.approx(0.2)
    assert label_transfer(hits, test, lattice) > 0.4
    left_out = [left_out_transfer(permuted_hits(hits, generator), lattice).item() for _ in range(100)]
    assert sum(left_out) / 100 < 0.2  # as the docstring warns
    assert left_out_transfer(hits, lattice) > 0.4


def test_chance_accuracy_shares_ties_and_follows_the_training_split():
    train, test = torch.tensor([[3, 0], [0, 3], [1, 1]]), torch.tensor([[4, 0], [1, 1], [4, 0]])
    assert chance_accuracy(train, test).item() == pytest.approx(0.3)
    assert math.isnan(chance_accuracy(train, test * 0))


def test_rolling_changes_nothing():
    lattice = Lattice(5, 7)
    train, test = (reference.blobs(lattice, 4, n, spread=1.0)[0] for n in (30, 20))
    rolled = [reference.roll(hits, lattice, 2, 5) for hits in (train, test)]
    assert label_transfer(*rolled, lattice).item() == pytest.approx(label_transfer(train, test, lattice).item())
    assert left_out_transfer(rolled[0], lattice).item() == pytest.approx(left_out_transfer(train, lattice).item())


def test_metric_higher_means_readable():
    lattice = Lattice(5, 7)
    found = []
    for spread in (9.0, 0.3):
        hits, _ = reference.blobs(lattice, 3, 40, spread, seed=1)
        metric = LabelTransfer(5, 7, 3)
        label, bmu = hits.nonzero().repeat_interleave(hits[hits > 0], 0).T
        metric.update(bmu[:50], label[:50])
        metric.update(bmu[50:], label[50:])
        found.append(metric.compute().item())
        assert found[-1] == left_out_transfer(hits, lattice).item()
    assert found[0] < found[1]
    assert metric.higher_is_better is True


def test_bad_input():
    lattice, heap = Lattice(3, 4), torch.eye(12, dtype=torch.int64)[[5, 5, 5]] * 7
    assert label_transfer(heap, heap, lattice).item() == pytest.approx(1 / 3)  # all on one unit
    assert label_transfer(heap * 0, heap, lattice).item() == pytest.approx(1 / 3)  # no training samples
    absent = heap * torch.tensor([[1], [0], [0]])
    assert label_transfer(absent, heap, lattice).item() == pytest.approx(1 / 3)  # only one class is ever named
    assert math.isnan(left_out_transfer(absent, lattice))  # one class
    assert math.isnan(left_out_transfer(heap * 0, lattice))
    assert left_out_transfer(torch.eye(12, dtype=torch.int64)[:4], lattice) == 0  # one sample a class
    with pytest.raises(ValueError, match="both splits must count the same classes; got 3 and 2"):
        label_transfer(heap, heap[:2], lattice)
    with pytest.raises(ValueError, match="sigma must be above 0"):
        left_out_transfer(heap, lattice, sigma=0)

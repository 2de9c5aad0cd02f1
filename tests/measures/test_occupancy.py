import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import (
    DeadUnits,
    EffectiveUnits,
    Hits,
    count_hits,
    dead_units,
    density,
    effective_units,
    expected_dead_units,
    rarefied_dead_units,
    uniform_hits,
)


@settings(deadline=None)
@given(st.lists(st.integers(0, 11), min_size=2, max_size=30))
def test_effective_units_is_one_over_the_share_of_colliding_pairs(bmus):
    pairs = list(combinations(bmus, 2))
    collisions = sum(a == b for a, b in pairs)
    expected = len(pairs) / collisions if collisions else math.inf
    hits = torch.bincount(torch.tensor(bmus), minlength=12)
    assert effective_units(hits).item() == pytest.approx(expected, rel=1e-6)


def test_the_chance_behind_effective_units_is_unbiased():
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(12, (4000, 10), generator=generator)
    hits = torch.nn.functional.one_hot(draws, 12).sum(1)
    # What is unbiased is the chance of a collision, the inverse; 10 samples are few for 12 units.
    assert (1 / effective_units(hits)).mean().item() == pytest.approx(1 / 12, rel=0.03)


def test_effective_units_at_the_edges():
    hits = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0], [5, 0, 0]])
    found = effective_units(hits).tolist()
    assert [math.isnan(value) for value in found] == [True, True, False, False]
    assert found[2:] == [math.inf, 1.0]


def test_density():
    assert density(torch.tensor([[1, 3], [0, 2]])).tolist() == [[0.25, 0.75], [0.0, 1.0]]
    assert density(torch.tensor([1, 3]), scale=100).tolist() == [25, 75]
    assert density(torch.zeros(2, dtype=torch.int64)).isnan().all()


def test_dead_units_against_uniform_draws():
    generator = torch.Generator().manual_seed(0)
    shares = dead_units(uniform_hits(torch.full((400,), 30), 12, generator))
    assert shares.mean().item() == pytest.approx(expected_dead_units(30, 12), abs=0.01)
    assert expected_dead_units(0, 12) == 1
    assert expected_dead_units(5, 1) == 0
    assert dead_units(torch.zeros(2, 3)).tolist() == [1, 1]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=7), st.data())
def test_rarefied_dead_units_is_the_mean_over_all_subsets(bmus, data):
    samples = data.draw(st.integers(0, len(bmus)))
    subsets = list(combinations(bmus, samples))
    expected = sum(1 - len(set(subset)) / 6 for subset in subsets) / len(subsets)
    hits = torch.bincount(torch.tensor(bmus), minlength=6)
    assert rarefied_dead_units(hits, samples).item() == pytest.approx(expected, abs=1e-6)


def test_rarefying_beyond_the_samples_is_refused():
    with pytest.raises(ValueError, match="samples must be from 0 to the 3 that were counted; got samples=4"):
        rarefied_dead_units(torch.tensor([[9, 9], [2, 1]]), 4)


def test_dead_units_pools_the_classes():
    metric = DeadUnits(num_units=12, num_classes=2)
    metric.update(bmu=torch.tensor([0, 0, 3]), label=torch.tensor([0, 1, 1]))
    metric.update(bmu=torch.tensor([7]), label=torch.tensor([0]))
    assert metric.compute().item() == pytest.approx(0.75)
    assert metric.higher_is_better is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2)), max_size=40), st.integers(0, 40))
def test_hits_match_a_loop_in_any_batches(samples, cut):
    expected = torch.zeros(3, 12, dtype=torch.int64)
    for unit, label in samples:
        expected[label, unit] += 1
    bmu = torch.tensor([unit for unit, _ in samples], dtype=torch.int64)
    label = torch.tensor([label for _, label in samples], dtype=torch.int64)
    metric = Hits(num_units=12, num_classes=3)
    metric.update(bmu[:cut], label[:cut])
    metric.update(bmu[cut:], label[cut:])
    assert metric.compute().dtype == torch.int64
    assert torch.equal(metric.compute(), expected)
    metric.reset()
    assert metric.hits.sum() == 0


def test_effective_units_pools_the_classes():
    metric = EffectiveUnits(num_units=12, num_classes=2)
    bmu = torch.tensor([0, 0, 3, 3, 3])
    metric.update(bmu=bmu, label=torch.tensor([0, 1, 1, 0, 1]))
    assert metric.compute() == effective_units(torch.bincount(bmu, minlength=12))
    assert metric.higher_is_better is None


@pytest.mark.parametrize(
    ("bmu", "label", "message"),
    [
        ([0, 1], [0, 3], r"label 3 is outside \[0, 3\); check the data or raise num_classes"),
        ([0, 1], [-1, 0], r"label -1 is outside \[0, 3\); leave samples without a label out"),
        ([0, 12], [0, 0], r"bmu 12 is outside \[0, 12\); check the data or raise num_units"),
        ([0, 1], [0], r"bmu and label must pair up; got shapes \(2,\) and \(1,\)"),
    ],
)
def test_refusals(bmu, label, message):
    with pytest.raises(ValueError, match=message):
        count_hits(torch.tensor(bmu), torch.tensor(label), 12, 3)


def test_empty_tables_are_refused():
    with pytest.raises(ValueError, match="num_units=12, num_classes=0"):
        Hits(num_units=12, num_classes=0)

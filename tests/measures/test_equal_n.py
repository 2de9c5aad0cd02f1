import math

import pytest
import torch
from scipy import stats

from measures import compare, distance_ratio, equal_samples, equalise_hits, subsample_hits
from som import Lattice
from tests.measures import reference


def test_subsamples_are_hypergeometric_and_keep_to_their_class():
    hits = torch.tensor([[4, 5, 0], [0, 0, 0], [1, 0, 2]])
    drawn = torch.stack([subsample_hits(hits, 3, seed) for seed in range(3000)])
    assert (drawn <= hits).all()
    assert (drawn.sum(2) == torch.tensor([3, 0, 3])).all()
    expected = stats.hypergeom(9, 4, 3).pmf(range(4)) * 3000
    assert stats.chisquare(drawn[:, 0, 0].bincount(minlength=4).numpy(), expected).pvalue > 0.01
    assert torch.equal(subsample_hits(hits, torch.tensor([9, 0, 1])).sum(1), torch.tensor([9, 0, 1]))


def test_equalising_takes_the_fewest_of_each_class():
    first, second = torch.tensor([[9, 1], [2, 2], [0, 0]]), torch.tensor([[2, 1, 0], [5, 5, 5], [1, 1, 1]])
    found = equalise_hits(first, second, seed=3)
    assert [table.sum(1).tolist() for table in found] == [[3, 4, 0], [3, 4, 0]]
    assert torch.equal(found[0][1], first[1])
    assert torch.equal(found[1][0], second[0])
    with pytest.raises(ValueError, match="splits must count the same classes; got 3, 2"):
        equalise_hits(first, second[:2])


def test_equal_samples_of_labels():
    label = torch.tensor([5, 0, 0, 5, 5, 0, 0, 5, 5])
    chosen = [equal_samples(label, 2, seed) for seed in range(200)]
    for positions in chosen:
        assert torch.equal(positions, positions.unique())
        assert label[positions].bincount().tolist() == [2, 0, 0, 0, 0, 2]
    assert torch.cat(chosen).bincount(minlength=9).min() > 40
    assert len(equal_samples(label[:0], 2)) == 0
    with pytest.raises(ValueError, match="class 0 has 4 samples, fewer than the 5 asked for"):
        equal_samples(label, 5)
    with pytest.raises(ValueError, match="label -1 is below 0: leave samples without a label out"):
        equal_samples(torch.tensor([0, -1]), 1)


def test_too_few_samples_are_refused():
    hits = torch.tensor([[4, 5], [1, 1], [3, 0]])
    with pytest.raises(ValueError, match="class 1 has 2 samples, fewer than the 3 asked for"):
        subsample_hits(hits, 3)
    with pytest.raises(ValueError, match="samples must be a number, 0 or more, for each of 3 classes"):
        subsample_hits(hits, torch.tensor([1, 1]))


def test_comparison_refuses_unequal_numbers_and_says_what_to_do():
    lattice = Lattice(5, 7)
    first, second = (reference.blobs(lattice, 4, n, spread=1.0)[0] for n in (30, 20))

    def statistics(table):
        return {"ratio": distance_ratio(table, lattice)}

    with pytest.raises(ValueError, match=r"class 0 has 30 and 20 \(4 classes differ\): .* equalise_hits"):
        compare(statistics, first, second)
    equal = equalise_hits(first, second)
    found = compare(statistics, *equal)["ratio"]
    assert found.first == pytest.approx(distance_ratio(equal[0], lattice).item())
    assert found.second == pytest.approx(distance_ratio(equal[1], lattice).item())
    assert found.difference == pytest.approx(found.first - found.second)
    assert found.low < found.difference < found.high


def test_comparison_tells_equal_splits_from_different_ones():
    lattice = Lattice(5, 7)
    wide, tight = (reference.blobs(lattice, 4, 400, spread)[0] for spread in (1.6, 0.8))

    def statistics(table):
        return {"ratio": distance_ratio(table, lattice)}

    found = compare(statistics, wide, tight)["ratio"]
    assert found.low > 0
    truly_equal = 0
    for seed in range(40):
        halves = [subsample_hits(wide, 50, 2 * seed), subsample_hits(wide, 50, 2 * seed + 1)]
        same = compare(statistics, *halves, seed=seed)["ratio"]
        truly_equal += same.low < 0 < same.high
    assert truly_equal >= 34
    nothing = compare(statistics, wide * 0, wide * 0)["ratio"]
    assert math.isnan(nothing.low)

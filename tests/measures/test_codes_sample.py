import pytest
import torch
from scipy import stats

from measures import CodeSample
from measures.codes_sample import random_keys


def filled(ids, batches, samples=20, seed=0):
    metric = CodeSample(samples, dimensions=3, seed=seed)
    for part in ids.split(batches):
        metric.update(part, part % 7, torch.stack((part, 2 * part, -part), 1))
    return metric


def splitmix(word):
    """Steele, Lea and Flood's finaliser, in Python's integers."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        word = (word ^ (word >> shift)) * factor % 2**64
    return word ^ (word >> 31)


def test_keys_are_splitmix64():
    ids = torch.tensor([0, 1, 5, 10**12, 2**62])
    for seed in (0, 1, 10**30):
        expected = [splitmix((i + seed * 0x9E3779B97F4A7C15) % 2**64) % 2**63 for i in ids.tolist()]
        assert random_keys(ids, seed).tolist() == expected


@pytest.mark.parametrize("batches", [1, 7, 64, 1000])
def test_neither_batches_nor_order_decide(batches):
    ids = torch.arange(300)
    expected = filled(ids, 300).compute()
    shuffled = ids[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    for order in (ids, shuffled):
        found = filled(order, batches).compute()
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours, theirs)
    assert len(expected.codes) == 20
    assert torch.equal(expected.id, expected.id.sort().values)
    assert torch.equal(expected.label, expected.id % 7)
    assert torch.equal(expected.codes[:, 1], 2.0 * expected.id)


def test_every_image_has_the_same_chance():
    ids = torch.arange(40)
    counts = sum(filled(ids, 40, samples=10, seed=seed).compute().id.bincount(minlength=40) for seed in range(400))
    # Without replacement the counts vary by a factor 1 - 10/40 less than chi-square takes.
    assert stats.chi2(39).sf(float(((counts - 100) ** 2).sum() / 100 / 0.75)) > 0.01


def test_depths_share_their_images_and_reset_forgets():
    ids = torch.arange(100)
    one, other = CodeSample(10, 2), CodeSample(10, 5)
    one.update(ids, ids, torch.zeros(100, 2))
    other.update(ids, ids, torch.zeros(100, 5))
    assert torch.equal(one.compute().id, other.compute().id)
    one.reset()
    assert one.compute().codes.shape == (0, 2)


def test_fewer_codes_than_places_and_refusals():
    found = filled(torch.tensor([9, 4]), 2).compute()
    assert found.id.tolist() == [4, 9]
    assert found.codes.shape == (2, 3)
    metric = CodeSample(4, 3)
    metric.update(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3))
    assert metric.higher_is_better is None
    with pytest.raises(ValueError, match=r"codes \(B, 3\) must pair up; got shapes \(2,\), \(2,\) and \(2, 4\)"):
        metric.update(torch.arange(2), torch.arange(2), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="samples=0"):
        CodeSample(0, 3)


def test_a_single_code_keeps_its_shape():
    metric = CodeSample(samples=3, dimensions=1)
    assert [tuple(part.shape) for part in metric.sampled()] == [(0,), (0,), (0, 1)]
    metric.update(id=torch.tensor([7]), label=torch.tensor([2]), codes=torch.tensor([[0.5]]))
    assert [part.tolist() for part in metric.sampled()] == [[7], [2], [[0.5]]]

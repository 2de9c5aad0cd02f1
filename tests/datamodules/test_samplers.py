import pytest
import torch

from datamodules.samplers import ShardSampler, ShuffleSampler, derive_seed

DATA = torch.arange(23)


def global_batches(batch_size: int, processes: int, epoch: int) -> list[set[int]]:
    local = batch_size // processes
    shares = []
    for rank in range(processes):
        sampler = ShuffleSampler(DATA, batch_size, seed=5, num_replicas=processes, rank=rank)
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert len(order) == len(sampler)
        shares.append([order[k : k + local] for k in range(0, len(order), local)])
    return [set().union(*batch) for batch in zip(*shares, strict=True)]


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_batches_of_one(processes):
    assert global_batches(6, processes, epoch=1) == global_batches(6, 1, epoch=1)


def test_batches_are_disjoint_and_full():
    batches = global_batches(6, 2, epoch=0)
    assert [len(batch) for batch in batches] == [6, 6, 6]
    assert len(set().union(*batches)) == 18


def test_order_depends_on_epoch_and_seed_alone():
    assert global_batches(6, 1, epoch=0) != global_batches(6, 1, epoch=1)
    torch.manual_seed(123)
    assert global_batches(6, 1, epoch=1) == global_batches(6, 1, epoch=1)
    other = ShuffleSampler(DATA, 6, seed=6)
    assert list(other) != list(ShuffleSampler(DATA, 6, seed=5))


def test_batch_size_must_split_and_fit():
    with pytest.raises(ValueError, match="batch_size 6 does not split over 4 processes"):
        ShuffleSampler(DATA, 6, seed=0, num_replicas=4)
    with pytest.raises(ValueError, match="batch_size 24 exceeds the 23 training images"):
        ShuffleSampler(DATA, 24, seed=0)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_shards_hold_every_position_once(processes):
    shards = [ShardSampler(DATA, processes, rank) for rank in range(processes)]
    assert sorted(k for shard in shards for k in shard) == list(range(23))
    assert [len(list(shard)) for shard in shards] == [len(shard) for shard in shards]


def test_no_process_is_left_without_a_sample():
    with pytest.raises(ValueError, match="23 images do not go round 24 processes"):
        ShardSampler(DATA, 24, rank=0)


def test_derived_seeds_differ_by_every_part():
    seeds = [derive_seed(0, 0), derive_seed(0, 1), derive_seed(1, 0), derive_seed(1, 1)]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)

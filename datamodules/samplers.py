"""Which samples a process sees, and in which order: the same global batches on 1 or P processes.

Both samplers derive from DistributedSampler, so that Lightning neither replaces nor wraps them.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset, DistributedSampler

__all__ = ["ShardSampler", "ShuffleSampler", "derive_seed"]


def derive_seed(*entropy: int) -> int:
    """Mix non-negative integers into one well-spread 63-bit seed.

    Args:
        *entropy: what the randomness depends on, e.g. seed, epoch, sample id.

    Returns:
        An integer in [0, 2^63).
    """
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


class ShuffleSampler(DistributedSampler):
    """Shuffled positions for training; every global batch has `batch_size` samples, the remainder is left out.

    The order depends on (seed, epoch) alone. Global batch b is the same set of samples whatever the number of
    processes; each process takes an equal, contiguous part of it.

    Args:
        dataset: what is sampled; only its length is used.
        batch_size: samples in a global batch, over all processes.
        seed: with the epoch, what the order depends on.
        num_replicas: number of processes.
        rank: this process.

    Raises:
        ValueError: if the batch does not split evenly over the processes, or exceeds the data.
    """

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, num_replicas: int = 1, rank: int = 0) -> None:
        size = len(dataset)  # type: ignore[arg-type]
        if batch_size < 1 or batch_size % num_replicas:
            raise ValueError(
                f"data.batch_size {batch_size} does not split over {num_replicas} processes: it counts the samples "
                f"of all processes together and must be a positive multiple of {num_replicas}"
            )
        if batch_size > size:
            raise ValueError(f"data.batch_size {batch_size} exceeds the {size} training images: choose at most {size}")
        super().__init__(dataset, num_replicas, rank, shuffle=True, seed=seed, drop_last=True)
        self.batch_size = batch_size
        self.batches = size // batch_size
        self.first_batch = 0  # where the next iteration starts: a resume in mid-epoch sets it

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
        order = torch.randperm(len(self.dataset), generator=generator)[: self.batches * self.batch_size]  # type: ignore[arg-type]
        mine = order.view(self.batches, self.num_replicas, -1)[self.first_batch :, self.rank]
        return iter(mine.flatten().tolist())

    def __len__(self) -> int:
        return self.batches * self.batch_size // self.num_replicas


class ShardSampler(DistributedSampler):
    """Every position exactly once over all processes, in order; shards may differ by one (nothing is padded).

    Args:
        dataset: what is sampled; only its length is used.
        num_replicas: number of processes.
        rank: this process.

    Raises:
        ValueError: if a process would be left without a sample: the others would wait for it forever.
    """

    def __init__(self, dataset: Dataset, num_replicas: int = 1, rank: int = 0) -> None:
        if len(dataset) < num_replicas:  # type: ignore[arg-type]
            raise ValueError(
                f"{len(dataset)} images do not go round {num_replicas} processes: "  # type: ignore[arg-type]
                "use fewer processes or more images"
            )
        super().__init__(dataset, num_replicas, rank, shuffle=False)
        self.positions = range(rank, len(dataset), num_replicas)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int]:
        return iter(self.positions)

    def __len__(self) -> int:
        return len(self.positions)

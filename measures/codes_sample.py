"""A bounded sample of the codes, the same images at every depth and in every run.

Measures that need pairs of codes (similarity, dimension, spectrum) take N x N numbers, so they work on a sample. Each
image has a random key that depends on its id and a seed only, and the sample is the images of the least keys: which
ones does not depend on batches, order or the number of processes, and is equal for all depths of one data set.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

LAST = torch.iinfo(torch.int64).max  # key of a place that is still free


class SampledCodes(NamedTuple):
    """Codes of a sample of images, in the order of their ids.

    Attributes:
        id: (n,) int64.
        label: (n,) int64.
        codes: (n, D) float32.
    """

    id: Tensor
    label: Tensor
    codes: Tensor


class CodeSample(Metric):
    """A random sample of at most n codes, without replacement; memory is n x D whatever the data.

    Neither direction is better. An image that comes twice, with the same id, may be held twice.

    Args:
        samples: n, 1 or more.
        dimensions: D.
        seed: which sample.

    Raises:
        ValueError: if a number is below 1.

    Example:
        >>> metric = CodeSample(samples=2, dimensions=1)
        >>> metric.update(id=torch.tensor([7, 3, 5]), label=torch.tensor([0, 1, 1]), codes=torch.rand(3, 1))
        >>> sample = metric.compute()
        >>> len(sample.codes), sample.id[0] < sample.id[1]
        (2, tensor(True))
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    sample_key: Tensor
    sample_id: Tensor
    sample_label: Tensor
    sample_codes: Tensor

    def __init__(self, samples: int, dimensions: int, seed: int = 0) -> None:
        super().__init__()
        if samples < 1 or dimensions < 1:
            raise ValueError(f"a sample needs at least 1 code of 1 dimension; got {samples=}, {dimensions=}")
        self.samples = samples
        self.seed = seed
        places = torch.zeros(samples, dtype=torch.int64)
        # Of fixed size, so that processes can gather them whatever each has seen.
        self.add_state("sample_key", places + LAST, dist_reduce_fx=_all_places)
        self.add_state("sample_id", places.clone(), dist_reduce_fx=_all_places)
        self.add_state("sample_label", places.clone(), dist_reduce_fx=_all_places)
        self.add_state("sample_codes", torch.zeros(samples, dimensions), dist_reduce_fx=_all_places)

    def update(self, id: Tensor, label: Tensor, codes: Tensor) -> None:
        """Offer codes to the sample.

        Args:
            id: (B,) int64 ids of the images, as stable as the data.
            label: (B,) int64.
            codes: (B, D).

        Raises:
            ValueError: if the shapes do not pair up.
        """
        if codes.ndim != 2 or codes.shape[1] != self.sample_codes.shape[1] or not len(id) == len(label) == len(codes):
            raise ValueError(
                f"id (B,), label (B,) and codes (B, {self.sample_codes.shape[1]}) must pair up; got shapes "
                f"{tuple(id.shape)}, {tuple(label.shape)} and {tuple(codes.shape)}"
            )
        offered = random_keys(id, self.seed)
        # Few of a batch enter once the sample is full, so that codes are seldom copied.
        chosen = (offered < self.sample_key.max()).nonzero()[:, 0]
        key = torch.cat((self.sample_key, offered[chosen]))
        order = key.argsort(stable=True)[: self.samples]
        self.sample_key = key[order]
        self.sample_id = torch.cat((self.sample_id, id[chosen]))[order]
        self.sample_label = torch.cat((self.sample_label, label[chosen]))[order]
        self.sample_codes = torch.cat((self.sample_codes, codes.detach()[chosen].float()))[order]

    def compute(self) -> SampledCodes:
        """The sample, at most n codes of all processes together."""
        key, rest = self.sample_key, (self.sample_id, self.sample_label, self.sample_codes)
        order = key.argsort(stable=True)[: self.samples]
        order = order[key[order] < LAST]
        order = order[rest[0][order].argsort(stable=True)]
        return SampledCodes(*(values[order] for values in rest))

    def sampled(self) -> SampledCodes:
        """What :meth:`compute` gives, with a leading dimension for a single code too, which torchmetrics squeezes."""
        id, label, codes = self.compute()
        return SampledCodes(id.reshape(-1), label.reshape(-1), codes.reshape(-1, self.sample_codes.shape[-1]))


def random_keys(id: Tensor, seed: int) -> Tensor:
    """Pseudo-random keys from ids: the finaliser of splitmix64 (Steele, Lea and Flood 2014), kept non-negative.

    Args:
        id: (N,) int64.
        seed: another seed gives other keys.

    Returns:
        (N,) int64 from 0 to 2^63 - 2.
    """
    start = (seed * 0x9E3779B97F4A7C15 + 2**63) % 2**64 - 2**63  # wrapped as int64 wraps
    mixed = id + start
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        mixed = (mixed ^ _shift_right(mixed, shift)) * factor
    mixed = mixed ^ _shift_right(mixed, 31)
    return (mixed & LAST).clamp(max=LAST - 1)


def _all_places(gathered: Tensor) -> Tensor:
    """(processes, n, ...) to (processes x n, ...)."""
    return gathered.flatten(0, 1)


def _shift_right(values: Tensor, bits: int) -> Tensor:
    """Shift without copying the sign."""
    return (values >> bits) & (2 ** (64 - bits) - 1)

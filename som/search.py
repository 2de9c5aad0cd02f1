"""BMU search: the two nearest prototypes of each code, by one matrix product per chunk.

Ranks by |w - m|^2 / 2 - (x - m)(w - m)^T, which differs from |x - w|^2 / 2 by a constant per code; m is the mean
prototype. Without this centring, codes that share a large offset lose their differences to float32 rounding. The best
two are then measured again from their differences. codes (B, D), prototypes (K, D); 2 B K D FLOPs, and at most
chunk x K scores at a time, so that the tile stays in cache.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Winners(NamedTuple):
    """The two nearest units of each code.

    Attributes:
        bmu: (B,) int64, the nearest unit (best-matching unit).
        second: (B,) int64, the second nearest unit; the BMU itself on a map of one unit.
        distance: (B,) float32, Euclidean distance to the BMU's prototype.
        second_distance: (B,) float32, Euclidean distance to the second unit's prototype.
    """

    bmu: Tensor
    second: Tensor
    distance: Tensor
    second_distance: Tensor


@torch.no_grad()
def find_bmus(codes: Tensor, prototypes: Tensor, chunk: int = 1024) -> Winners:
    """Find each code's two nearest prototypes; ties go to the lower unit number. No gradients pass.

    Runs in float32 whatever autocast says. The ranking is exact up to float32 rounding at the prototypes' own spread;
    the distances come from differences, so they are exact to rounding, and so is the order of the two.

    Args:
        codes: (B, D).
        prototypes: (K, D).
        chunk: codes to score at a time; changes memory and speed, not the result.

    Returns:
        The winners, detached. On a map of one unit the second is the BMU again, at the same distance.

    Raises:
        ValueError: if ``chunk`` is below 1.

    Example:
        >>> find_bmus(torch.tensor([[0.9]]), torch.tensor([[0.0], [1.0], [3.0]]))
        Winners(bmu=tensor([1]), second=tensor([0]), distance=tensor([0.1000]), second_distance=tensor([0.9000]))
    """
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1 code; got chunk={chunk}")
    with torch.autocast(codes.device.type, enabled=False):
        prototypes = prototypes.float()
        mean = prototypes.mean(0)
        centred = prototypes - mean
        half_norms = centred.square().sum(1) / 2
        found = [_two_nearest(part.float(), prototypes, mean, centred, half_norms) for part in codes.split(chunk)]
    return Winners(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _two_nearest(codes: Tensor, prototypes: Tensor, mean: Tensor, centred: Tensor, half_norms: Tensor) -> Winners:
    scores = torch.addmm(half_norms, codes - mean, centred.T, alpha=-1)
    # argmin, unlike topk, promises the first of equal values.
    bmu = scores.argmin(1)
    distance = torch.linalg.vector_norm(codes - prototypes[bmu], dim=1)
    if prototypes.shape[0] == 1:
        return Winners(bmu, bmu, distance, distance)
    second = scores.scatter_(1, bmu[:, None], torch.inf).argmin(1)
    second_distance = torch.linalg.vector_norm(codes - prototypes[second], dim=1)
    wrong = (second_distance < distance) | ((second_distance == distance) & (second < bmu))
    return Winners(
        torch.where(wrong, second, bmu),
        torch.where(wrong, bmu, second),
        torch.where(wrong, second_distance, distance),
        torch.where(wrong, distance, second_distance),
    )

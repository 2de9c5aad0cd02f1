"""BMU search: the two nearest prototypes of each code, with their distances.

How the nearest are found is told in som/index.py and som/bounds.py; the distances come from differences, so they are
exact to rounding whatever offset the codes share.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from som.bounds import fast_bounds
from som.index import Index, find_nearest
from som.tiles import rows_at_once


class Winners(NamedTuple):
    """The two nearest units of each code.

    Attributes:
        bmu: (B,) int64, the nearest unit (best matching unit).
        second: (B,) int64, the second nearest unit; the BMU itself on a map of one unit.
        distance: (B,) float32, Euclidean distance to the BMU's prototype.
        second_distance: (B,) float32, Euclidean distance to the second unit's prototype.
    """

    bmu: Tensor
    second: Tensor
    distance: Tensor
    second_distance: Tensor


@torch.no_grad()
def find_bmus(codes: Tensor, prototypes: Tensor) -> Winners:
    """Find each code's two nearest prototypes; ties go to the lower unit number. No gradients pass.

    The units are those of a float64 search, up to ties within float64's rounding, whatever autocast and
    ``torch.set_float32_matmul_precision`` say.

    Args:
        codes: (B, D).
        prototypes: (K, D).

    Returns:
        The winners, detached. On a map of one unit the second is the BMU again, at the same distance.

    Raises:
        ValueError: if they are not finite, or their squared distances overflow float32.

    Example:
        >>> find_bmus(torch.tensor([[0.9]]), torch.tensor([[0.0], [1.0], [3.0]]))
        Winners(bmu=tensor([1]), second=tensor([0]), distance=tensor([0.1000]), second_distance=tensor([0.9000]))
    """
    index = Index(prototypes)
    found = find_nearest(codes, index, fast_bounds(index, len(codes)), min(2, len(prototypes))).units
    bmu, second = found[:, 0], found[:, -1]
    return Winners(bmu, second, distances(codes, prototypes, bmu), distances(codes, prototypes, second))


@torch.no_grad()
def distances(codes: Tensor, prototypes: Tensor, units: Tensor) -> Tensor:
    """Euclidean distance of each code (B, D) to the prototype of its unit (B,), from differences; (B,) float32."""
    rows = rows_at_once(codes.device, codes.shape[1])
    parts = zip(codes.split(rows), units.split(rows), strict=True)
    return torch.cat([torch.linalg.vector_norm(code.float() - prototypes[unit], dim=1) for code, unit in parts])

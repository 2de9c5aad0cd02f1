"""What a fitted map says of codes of any number, a batch at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

from som.bounds import fast_bounds
from som.index import Index, find_nearest
from som.map import SelfOrganizingMap
from som.search import Winners
from som.sources import Source
from som.tiles import ROWS


@torch.no_grad()
def stream_bmus(som: SelfOrganizingMap, source: Source) -> Tensor:
    """BMU (N,) of every code."""
    index = Index(som.prototypes)
    bounds = fast_bounds(index, source.samples or ROWS)
    return torch.cat([find_nearest(som.encode(batch), index, bounds).units[:, 0] for batch in source.batches()])


@torch.no_grad()
def stream_distances(som: SelfOrganizingMap, source: Source, dtype: torch.dtype = torch.float64) -> Tensor:
    """Distance (N, K) of every code to every unit, measured in float64 whatever the type of the result."""
    prototypes = som.prototypes.double()
    mean = prototypes.mean(0)
    prototypes = prototypes - mean
    parts = []
    for batch in source.batches():
        distances = torch.cdist(som.encode(batch).double() - mean, prototypes)
        parts.append((distances.square_().div_(2) if som.distance == "cosine" else distances).to(dtype))
    return torch.cat(parts)


def stream_mean(som: SelfOrganizingMap, source: Source, value: Callable[[Winners], Tensor]) -> float:
    """Mean over all codes of a value (B,) of their two nearest units."""
    total = count = 0.0
    for batch in source.batches():
        total += float(value(som(batch)).double().sum())
        count += len(batch)
    return total / count

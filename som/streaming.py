"""What a fitted map says of codes of any number, a batch at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

from som.bounds import fast_bounds
from som.index import Index, find_nearest
from som.map import SelfOrganizingMap
from som.search import Winners
from som.sources import CHUNK, Source


def stream_bmus(som: SelfOrganizingMap, source: Source) -> Tensor:
    """BMU (N,) of every code."""
    index = Index(som.prototypes)
    bounds = fast_bounds(index, source.samples or CHUNK)
    return torch.cat([find_nearest(som.encode(batch), index, bounds).units[:, 0] for batch in source.batches()])


def stream_distances(som: SelfOrganizingMap, source: Source) -> Tensor:
    """Distance (N, K) float64 of every code to every unit."""
    prototypes = som.prototypes.detach().double()
    mean = prototypes.mean(0)
    parts = [torch.cdist(som.encode(batch).double() - mean, prototypes - mean) for batch in source.batches()]
    distances = torch.cat(parts)
    return distances.square_().div_(2) if som.distance == "cosine" else distances


def stream_mean(som: SelfOrganizingMap, source: Source, value: Callable[[Winners], Tensor]) -> float:
    """Mean over all codes of a value (B,) of their two nearest units."""
    total = count = 0.0
    for batch in source.batches():
        total += float(value(som(batch)).double().sum())
        count += len(batch)
    return total / count

"""Samples on a map, and slow references in float64 loops that share no code with the package."""

import math

import torch
from hypothesis import strategies as st


def table(bmu, label, units, classes):
    hits = torch.zeros(classes, units, dtype=torch.int64)
    for unit, c in zip(bmu.tolist(), label.tolist(), strict=True):
        hits[c, unit] += 1
    return hits


def tables(classes, units, most=3):
    """Hypothesis: counts (classes, units), mostly empty."""
    cell = st.sampled_from([0, 0, 0, *range(1, most + 1)])
    return st.lists(cell, min_size=classes * units, max_size=classes * units).map(
        lambda cells: torch.tensor(cells).view(classes, units)
    )


def samples_of(hits, cols):
    """For each class the list of its samples' (row, col)."""
    return [
        [(unit // cols, unit % cols) for unit, count in enumerate(row) for _ in range(count)] for row in hits.tolist()
    ]


def blobs(lattice, classes, samples, spread, seed=0):
    """Counts (classes, K) of classes that are normal about random places, and those places (classes, 2)."""
    generator = torch.Generator().manual_seed(seed)
    sides = torch.tensor([lattice.rows, lattice.cols])
    places = torch.rand(classes, 1, 2, generator=generator) * sides
    points = places + spread * torch.randn(classes, samples, 2, generator=generator)
    points = points.round().long()
    points = points % sides if lattice.topology == "torus" else points.clamp(min=0).minimum(sides - 1)
    units = points[..., 0] * lattice.cols + points[..., 1]
    hits = torch.zeros(classes, lattice.units, dtype=torch.int64).scatter_add_(1, units, torch.ones_like(units))
    return hits, places[:, 0]


def roll(hits, lattice, down, right):
    return hits.view(-1, lattice.rows, lattice.cols).roll((down, right), (1, 2)).flatten(1)


def axis_steps(a, b, length, topology):
    """The nearest of the copies along one axis."""
    return min(abs(a - b + i * length) for i in ((-1, 0, 1) if topology == "torus" else (0,)))


def distance(a, b, lattice):
    """Between points (row, col) that need not be units."""
    return math.hypot(
        axis_steps(a[0], b[0], lattice.rows, lattice.topology), axis_steps(a[1], b[1], lattice.cols, lattice.topology)
    )

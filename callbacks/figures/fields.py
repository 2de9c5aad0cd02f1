"""Fields over the map: how far apart neighbouring prototypes lie, and what the statistics of a code say where."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from callbacks.figures.layout import Grid, LatticeSheet, counted_title
from callbacks.figures.maps import PIXELS
from callbacks.style import DIVERGING
from som import Lattice, u_matrix

__all__ = ["Plane", "component_planes_figure", "relative_u_matrix", "statistic_planes", "u_matrix_figure"]

RIDGE = "cividis"  # made for colour-blind readers
RIDGES = (0.5, 1.5)  # range of colours, times the map's mean distance
SPREAD = 2.5  # standard deviations of a component plane

Plane = tuple[np.ndarray, float]
"""A standardised field (rows, cols), and the share of its statistic's variance over the map that it shows."""


def relative_u_matrix(prototypes: Tensor, lattice: Lattice) -> np.ndarray:
    """U-matrix over its mean, so that depths and steps compare; (rows, cols), 0 if all prototypes are equal.

    Args:
        prototypes: (K, D).
        lattice: the map's lattice.
    """
    distances = u_matrix(prototypes, lattice).cpu().numpy()
    return distances / (distances.mean() or 1)


def statistic_planes(prototypes: Tensor, lattice: Lattice, statistics: Mapping[str, int]) -> dict[str, Plane]:
    """The leading principal component of each statistic's part of the prototypes, over all of its channels.

    A mean over channels would cancel where channels oppose each other; the leading component is what most share. It is
    standardised, and signed so that it grows with the mean over the channels. Parts that are constant, or not finite,
    give zeros and a share of 0.

    Args:
        prototypes: (K, D), in the space of the map.
        lattice: the map's lattice.
        statistics: the length of each statistic's part, in the order of the code.
    """
    planes = {}
    parts = prototypes.detach().float().cpu().split(list(statistics.values()), dim=1)
    for name, part in zip(statistics, parts, strict=True):
        centred = torch.nan_to_num(part - part.mean(0), nan=0, posinf=0, neginf=0)
        variance = float(centred.double().square().sum())
        scores = _leading_scores(centred)
        if float(scores @ centred.mean(1)) < 0:
            scores = -scores
        share = float(scores.double().square().sum()) / variance if variance > 0 else 0.0
        deviation = float(scores.std(correction=0)) or 1.0
        planes[name] = ((scores / deviation).view(lattice.rows, lattice.cols).numpy(), share)
    return planes


def u_matrix_figure(grid: Grid[np.ndarray], wrapped: bool, warning: str = "") -> Figure:
    """A row a run, a column a depth: valleys (dark) are clusters, ridges (bright) part them; one range of colours.

    Args:
        grid: (rows, cols) of :func:`relative_u_matrix`.
        wrapped: whether opposite edges are neighbours.
        warning: what to know before comparing the rows.
    """
    edges = "; opposite edges are neighbours" if wrapped else ""
    title = f"U-matrix: mean distance of each prototype to its neighbours{edges}"
    sheet = LatticeSheet(grid, title, warning)
    for line, depths in zip(sheet.panels, grid.values(), strict=True):
        for axes, field in zip(line, depths.values(), strict=True):
            image = axes.imshow(field, cmap=RIDGE, vmin=RIDGES[0], vmax=RIDGES[1], **PIXELS)
    sheet.bar(image, "distance / map's mean", extend="both")
    return sheet.figure


def component_planes_figure(planes: Mapping[str, Mapping[str, Plane]]) -> Figure | None:
    """A row a statistic, a column a depth: where on the map the statistic is large (orange) or small (purple).

    Args:
        planes: by statistic and depth, all of the same depths.

    Returns:
        The figure; None if no depth has statistics.
    """
    if not any(planes.values()):
        return None
    grid = {name: {depth: field for depth, (field, _) in depths.items()} for name, depths in planes.items()}
    title = "Component planes: the leading component of each statistic over its channels, and its share of the variance"
    sheet = LatticeSheet(grid, title, size=2.0)
    for line, depths in zip(sheet.panels, planes.values(), strict=True):
        for axes, (depth, (field, share)) in zip(line, depths.items(), strict=True):
            image = axes.imshow(field, cmap=DIVERGING, vmin=-SPREAD, vmax=SPREAD, **PIXELS)
            axes.set_title(counted_title(depth, f"{share:.0%}", sheet.width), fontsize=8)
    sheet.bar(image, "standard deviations over the map", extend="both")
    return sheet.figure


def _leading_scores(centred: Tensor, steps: int = 30) -> Tensor:
    """(K,) scores on the leading principal direction, by power iteration from the unit that lies farthest out."""
    scores = centred.square().sum(1)
    direction = centred[scores.argmax()]
    for _ in range(steps):
        length = direction.norm()
        if length == 0:
            break
        direction = centred.T @ (centred @ (direction / length))
    return centred @ (direction / (direction.norm() or 1))

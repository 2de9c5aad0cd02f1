"""Density of the BMUs by depth, alone or above the regions of the classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from callbacks.figures.layout import Grid, LatticeSheet, counted_title, first_name
from callbacks.map_drawing import DENSEST, UNIT, region_image
from callbacks.style import DENSITY, class_colours

__all__ = ["density_figure", "maps_figure"]

LISTED = 20  # classes in a legend
PIXELS: dict[str, Any] = {"interpolation": "nearest", "aspect": "auto"}  # panels have the lattice's sides already


def density_figure(grid: Grid[np.ndarray], scale: float = 100, warning: str = "") -> Figure:
    """Share of the images at each unit, a row a run, a column a depth; the paper scales shares by 100, and so do we.

    All panels have one range of colours, which depends on the lattice alone: from 0 to 10 times an even spread, what
    each unit has where all have the same; more is drawn as that.

    Args:
        grid: (rows, cols) counts.
        scale: factor on the share of images a unit; 1 for plain shares.
        warning: what to know before comparing the rows.
    """
    times = "" if scale == 1 else f" x {scale:g}"
    title = f"Density of BMUs: share of images{times} at a unit; bright = {DENSEST} times an even spread, or more"
    sheet = LatticeSheet(grid, title, warning)
    top = DENSEST * scale / min(hits.size for depths in grid.values() for hits in depths.values())
    for line, depths in zip(sheet.panels, grid.values(), strict=True):
        for axes, (depth, hits) in zip(line, depths.items(), strict=True):
            image = axes.imshow(scale * shares(hits), cmap=DENSITY, vmin=0, vmax=top, **PIXELS)
            axes.set_title(counted_title(depth, f"n = {hits.sum()}", sheet.width), fontsize=9)
    sheet.bar(image, f"share of images{times}", extend="max")
    return sheet.figure


def maps_figure(hits: Mapping[str, np.ndarray], classes: Sequence[str], scale: float = 100) -> Figure:
    """Density (top) and class regions (bottom) of every depth of one run.

    Args:
        hits: (classes, rows, cols) counts by depth.
        classes: class names, in label order; a legend names the colours of up to 20.
        scale: factor on the share of images a unit, 100 as in the paper.
    """
    names = [first_name(name, 20) for name in classes] if len(classes) <= LISTED else []
    times = "" if scale == 1 else f" x {scale:g}"
    legend = f"colour = majority class, {len(classes)} classes; pale = mixed; white = no image"
    grid = {"density": hits, "classes": hits}
    sheet = LatticeSheet(grid, f"Top: share of images{times} at a unit. Bottom: {legend}", legend=len(names))
    top = DENSEST * scale / next(iter(hits.values()))[0].size
    for (above, below), (depth, each) in zip(sheet.panels.T, hits.items(), strict=True):
        image = above.imshow(scale * shares(each.sum(0)), cmap=DENSITY, vmin=0, vmax=top, **PIXELS)
        above.set_title(counted_title(depth, f"n = {each.sum()}", sheet.width), fontsize=9)
        below.imshow(region_image(each)[::UNIT, ::UNIT], **PIXELS)
        below.set_title("")
    sheet.bar(image, f"share of images{times}", extend="max")
    if names:
        sheet.legend([Patch(color=c, label=n) for c, n in zip(class_colours(len(names)), names, strict=True)])
    return sheet.figure


def shares(hits: np.ndarray) -> np.ndarray:
    """Counts over their sum; 0 where there are none."""
    return hits / max(1, hits.sum())

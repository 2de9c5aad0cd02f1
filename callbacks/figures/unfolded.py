"""Classes on the map and on the unfolded 3 x 3 map, with their centers; after Fig. 2 of arXiv 2205.10952.

On the unfolded map each image is drawn in the copy nearest to the center of its class, so that a class across a seam
stays in one piece and straight lines are torus distances. The intrinsic center is a full disc, or a hollow one where
the images leave open where it is; the paper's (the mean over all nine copies) is a cross, since it depends on where
the torus was cut.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from callbacks.figures.layout import Grid, LatticeSheet, counted_title, first_name
from callbacks.style import CLASS_MARKERS, class_colours
from measures import class_centers, paper_naive_centers, unfold
from som import Lattice, Topology

__all__ = ["unfolded_figure", "unfolding_figure"]

APART = 0.28  # of a unit: how far from its middle the classes that share it stand


def unfolding_figure(
    hits: Mapping[str, np.ndarray], topology: Topology, classes: Sequence[str], chosen: Sequence[int]
) -> Figure:
    """Chosen classes of one run by depth, on the map (top) and on the unfolded map (bottom; not on a plane).

    Args:
        hits: (classes, rows, cols) counts by depth.
        topology: of the lattice.
        classes: class names, in label order.
        chosen: labels of the classes to show, at most 9.
    """
    rows = {"map": 1, "unfolded": 3} if topology == "torus" else {"map": 1}
    return _figure({row: hits for row in rows}, list(rows.values()), dict.fromkeys(rows, topology), classes, chosen)


def unfolded_figure(
    grid: Grid[np.ndarray],
    topologies: Mapping[str, Topology],
    classes: Sequence[str],
    chosen: Sequence[int],
    warning: str = "",
) -> Figure:
    """Chosen classes on the unfolded maps, a row a run, a column a depth.

    Args:
        grid: (classes, rows, cols) counts.
        topologies: of each run's lattice; a plane is drawn as it is.
        classes: class names, in label order.
        chosen: labels of the classes to show, at most 9.
        warning: what to know before comparing the rows.
    """
    scales = [3 if topologies[run] == "torus" else 1 for run in grid]
    return _figure(grid, scales, topologies, classes, chosen, warning)


def _figure(
    grid: Grid[np.ndarray],
    scales: Sequence[int],
    topologies: Mapping[str, Topology],
    classes: Sequence[str],
    chosen: Sequence[int],
    warning: str = "",
) -> Figure:
    what = "Unfolded 3 x 3: each image in the copy nearest to its class's center" if 3 in scales else "BMUs"
    title = f"{what}; {len(chosen)} of {len(classes)} classes, larger = more images"
    legend = _legend([first_name(classes[label], 18) for label in chosen])
    sheet = LatticeSheet(grid, title, warning, size=3.0, legend=len(legend), bar=False, ranges=True)
    for line, scale, run in zip(sheet.panels, scales, grid, strict=True):
        for axes, (depth, hits) in zip(line, grid[run].items(), strict=True):
            table, lattice = hits[list(chosen)], Lattice(hits.shape[1], hits.shape[2], topologies[run])
            _grounds(axes, lattice, scale)
            _classes(axes, table, lattice, scale)
            axes.set_title(counted_title(depth, f"n = {table.sum()}", sheet.width), fontsize=9)
    sheet.legend(legend)
    return sheet.figure


def _grounds(axes: Axes, lattice: Lattice, scale: int) -> None:
    """The range of the map; of the nine copies the original and half a copy each side, since no image lies beyond."""
    rows, cols = lattice.rows, lattice.cols
    if scale == 3:
        axes.set(xlim=(cols / 2 - 0.5, 2.5 * cols - 0.5), ylim=(2.5 * rows - 0.5, rows / 2 - 0.5), facecolor="#F2F2F2")
        axes.fill_between(
            [cols - 0.5, 2 * cols - 0.5], rows - 0.5, 2 * rows - 0.5, color="white", linewidth=0, zorder=0
        )
        for seam in (1, 2):
            axes.axhline(seam * rows - 0.5, color="0.6", linewidth=0.8, zorder=1)
            axes.axvline(seam * cols - 0.5, color="0.6", linewidth=0.8, zorder=1)


def _classes(axes: Axes, table: np.ndarray, lattice: Lattice, scale: int) -> None:
    """The images of each class as dots, then the centers over them."""
    hits = torch.from_numpy(table.reshape(len(table), -1))
    found, naive = class_centers(hits, lattice), paper_naive_centers(hits, lattice).numpy()
    middle = np.array([lattice.rows, lattice.cols]) if scale == 3 else np.zeros(2)
    unit = 72 * 2.3 / ((2 if scale == 3 else 1) * max(lattice.rows, lattice.cols))  # points
    for number, (counts, colour) in enumerate(zip(hits, class_colours(len(table)), strict=True)):
        units = counts.nonzero()[:, 0]
        if len(units) == 0:
            continue
        places = lattice.coordinates(units).numpy().astype(float)
        if scale == 3:
            places = unfold(units, found.center[number], lattice).numpy()
        angle = 2 * np.pi * number / len(table)
        places = places + APART * np.array([np.sin(angle), np.cos(angle)]) * (len(table) > 1)
        share = (counts[units] / counts.sum()).sqrt().numpy()
        sizes = np.clip(0.6 * unit, 1.8, 7) ** 2 * (0.4 + 1.6 * share)
        marker = CLASS_MARKERS[number % len(CLASS_MARKERS)]
        axes.scatter(places[:, 1], places[:, 0], sizes, color=colour, marker=marker, linewidths=0, alpha=0.8, zorder=2)
    for number, colour in enumerate(class_colours(len(table))):
        center = found.center[number].numpy()
        row, col = center + middle if scale == 3 else _on_the_map(center, lattice)
        face = "white" if found.ambiguous[number] else colour
        axes.scatter(col, row, 42, color=[face], marker="o", edgecolors=[colour], linewidths=2, zorder=4)
        axes.scatter(col, row, 62, color="none", marker="o", edgecolors="black", linewidths=0.8, zorder=4)
        row, col = naive[number] + middle
        axes.scatter(col, row, 34, color="black", marker="x", linewidths=2.4, zorder=3)
        axes.scatter(col, row, 30, color=[colour], marker="x", linewidths=1.2, zorder=3)


def _on_the_map(center: np.ndarray, lattice: Lattice) -> np.ndarray:
    """A center beyond the middle of the last units is drawn before the first ones, within the frame."""
    if lattice.topology == "plane":
        return center
    return (center + 0.5) % np.array([lattice.rows, lattice.cols]) - 0.5


def _legend(names: Sequence[str]) -> list[Line2D]:
    dots = [
        Line2D([], [], linestyle="", marker=CLASS_MARKERS[k % len(CLASS_MARKERS)], color=tuple(colour), label=name)
        for k, (colour, name) in enumerate(zip(class_colours(len(names)), names, strict=True))
    ]
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markeredgecolor": "black", "markersize": 8}
    return [
        *dots,
        Line2D([], [], color="0.5", label="center", **look),
        Line2D([], [], color="white", label="ambiguous center", **look),
        Line2D([], [], linestyle="", marker="x", color="black", label="mean over the copies"),
    ]

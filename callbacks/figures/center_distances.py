"""Distances between the class centers on each map, as matrices."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from callbacks.figures.layout import Sheet, counted_title, first_name, tail
from measures import class_centers, distances_between_centers
from som import Lattice, Topology

__all__ = ["center_distances_figure", "clustered_order"]

NAMED = 40  # classes up to which every row has a name
LETTER = 0.056  # inches a letter of such a name


def clustered_order(distances: np.ndarray) -> np.ndarray:
    """Order of the classes in which near ones follow one another, by average linkage; (C,) positions.

    Args:
        distances: (C, C), symmetric, finite.
    """
    if len(distances) < 3:
        return np.arange(len(distances))
    return leaves_list(linkage(squareform(distances, checks=False), "average", optimal_ordering=len(distances) <= 200))


def center_distances_figure(
    hits: Mapping[str, np.ndarray], topology: Topology, classes: Sequence[str]
) -> Figure | None:
    """A panel a depth, all in the order that clusters the last depth, and in one range: up to the farthest possible.

    Args:
        hits: (classes, rows, cols) counts by depth.
        topology: of the lattice.
        classes: class names, in label order; up to 40 are written out, those with an ambiguous center with a question
            mark.

    Returns:
        The figure; None for fewer than two classes with images.
    """
    first = next(iter(hits.values()))
    present = np.flatnonzero(first.sum((1, 2)))
    if len(present) < 2:
        return None
    lattice = Lattice(first.shape[1], first.shape[2], topology)
    centers = {
        depth: class_centers(torch.from_numpy(table[present].reshape(len(present), -1)), lattice)
        for depth, table in hits.items()
    }
    matrices = {depth: distances_between_centers(each.center, lattice).numpy() for depth, each in centers.items()}
    order = clustered_order(list(matrices.values())[-1])
    sides = np.array([lattice.rows, lattice.cols])
    farthest = float(np.hypot(*(sides / 2 if topology == "torus" else sides - 1)))
    named = len(present) <= NAMED
    side = float(np.clip(0.17 * len(present), 2.4, 5.5)) if named else 3.2
    names = [first_name(classes[label], 16) for label in present[order]] if named else []
    room = 0.25 + LETTER * max(map(len, names), default=0)
    last = tail(list(hits)[-1], 24)
    title = f"Distances between the centers of {len(present)} classes, ordered by the clusters of {last}"
    sheet = Sheet(
        [side] * len(hits),
        [side],
        f"{title}; ambiguous center (?) = spread over the map",
        gaps=(0.2, 0),
        margins=(max(0.5, room), room + 2 * LETTER, 0.3) if named else (0.75, 0.5, 0.3),
        bar=True,
    )
    for axes, depth in zip(sheet.panels[0], hits, strict=True):
        shown = matrices[depth][np.ix_(order, order)]
        image = axes.imshow(shown, cmap="viridis_r", vmin=0, vmax=farthest or 1, interpolation="nearest")
        unclear = centers[depth].ambiguous.numpy()[order]
        axes.set_title(counted_title(depth, f"{unclear.mean():.0%} ambiguous", side), fontsize=9)
        axes.tick_params(labelsize=8, labelleft=axes is sheet.panels[0, 0])
        if named:
            marked = [f"{name} ?" if doubt else name for name, doubt in zip(names, unclear, strict=True)]
            axes.set_xticks(range(len(names)), marked, fontsize=6.5, rotation=90)
            axes.set_yticks(range(len(names)), names, fontsize=6.5)
        else:
            axes.set_xlabel("class, clustered", fontsize=8)
    if not named:
        sheet.panels[0, 0].set_ylabel("class, clustered", fontsize=8)
    sheet.bar(image, "distance (lattice steps)")
    return sheet.figure

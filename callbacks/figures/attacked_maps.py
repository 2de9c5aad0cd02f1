"""Where an attack carries images on the maps: density and class regions of clean images, and over them the attacked."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch
from torch import Tensor

from callbacks.figures.layout import LatticeSheet, counted_title, first_name
from callbacks.figures.maps import LISTED, PIXELS, shares
from callbacks.map_drawing import DENSEST, UNIT, region_image
from callbacks.style import DENSITY, class_colours
from measures import unfold
from som import Lattice

__all__ = ["Moves", "attacked_maps_figure"]

PATHS = 30  # that one can follow in a panel
PALE = 0.35  # of the regions' colours under the paths
APART = 0.25  # of a unit: how far from its middle the images that share it stand
GOLDEN = 2.399963  # radians: the first n multiples stand well apart, whatever n is

Moves = tuple[Tensor, Tensor]
"""(n,) units of the clean and of the adversarial images."""


def attacked_maps_figure(
    hits: Mapping[str, np.ndarray],
    moves: Mapping[str, Moves],
    labels: np.ndarray,
    classes: Sequence[str],
    lattice: Lattice,
    attack: str,
    counted: str = "validation images",
) -> Figure:
    """Density (top), class regions (middle) and the paths of attacked images (bottom), a column a depth.

    A disc is the BMU of a clean image, an arrow leads to that of its adversarial version; both have the colour of the
    image's own class. An image that stays is a disc alone. Arrows take the short way: on a torus over an edge, if that
    is shorter, and in at the opposite one. Under them are the regions, paler.

    Args:
        hits: (classes, rows, cols) counts of clean images by depth.
        moves: of the n attacked images, n >= 1, by depth; of more than 30, 30 are drawn, evenly spaced.
        labels: (n,) their labels.
        classes: class names, in label order; a legend names the colours of up to 20.
        lattice: of the maps.
        attack: its name and budget, for the title.
        counted: which images `hits` counts, for the title.
    """
    names = [first_name(name, 20) for name in classes] if len(classes) <= LISTED else []
    count = len(labels)
    drawn = np.unique(np.linspace(0, count - 1, min(PATHS, count)).round().astype(int))
    title = (
        f"Top: share of {counted} x 100 at a unit. Middle: colour = majority class, {len(classes)} classes; pale = "
        f"mixed; white = no image. Bottom: {count} images under {attack}, from the clean BMU (disc) to the adversarial "
        f"(arrow), in the colour of their class{f'; {len(drawn)} of them are drawn' if len(drawn) < count else ''}"
    )
    sheet = LatticeSheet({"density": hits, "classes": hits, "attacked": hits}, title, legend=len(names))
    top = DENSEST * 100 / lattice.units
    colours = class_colours(len(classes))[labels[drawn]]
    for (density, regions, paths), (depth, each) in zip(sheet.panels.T, hits.items(), strict=True):
        image = density.imshow(100 * shares(each.sum(0)), cmap=DENSITY, vmin=0, vmax=top, **PIXELS)
        density.set_title(counted_title(depth, f"n = {each.sum()}", sheet.width), fontsize=9)
        picture = region_image(each)[::UNIT, ::UNIT]
        regions.imshow(picture, **PIXELS)
        regions.set_title("")
        paths.imshow(1 - PALE * (1 - picture / 255), **PIXELS)
        clean, adversarial = moves[depth]
        start = lattice.coordinates(clean)
        way = unfold(adversarial, start, lattice).numpy() - start.numpy() - np.array([lattice.rows, lattice.cols])
        paths.set_title(f"{(way != 0).any(1).sum()} of {count} move", fontsize=9)
        _draw_paths(paths, start.numpy()[drawn], way[drawn], lattice, colours)
    sheet.bar(image, "share of images x 100", extend="max")
    if names:
        sheet.legend([Patch(color=c, label=n) for c, n in zip(class_colours(len(names)), names, strict=True)])
    return sheet.figure


def _draw_paths(axes: Axes, start: np.ndarray, way: np.ndarray, lattice: Lattice, colours: np.ndarray) -> None:
    """Discs at `start` (n, 2), and arrows along `way` (n, 2), twice or four times where they leave over an edge."""
    angle = GOLDEN * np.arange(len(start))[:, None]
    apart = APART * np.hstack([np.sin(angle), np.cos(angle)]) * (len(start) > 1)
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.6}
    outline = [effects.withStroke(linewidth=3.2, foreground="black")]
    for place, step, shift, colour in zip(start, way, apart, colours, strict=True):
        tail, head = place + shift, place + step + shift
        laps = [
            {0, -side * ((unit + steps) // side)}
            for unit, steps, side in zip(place, step, (lattice.rows, lattice.cols), strict=True)
        ]
        for lap in product(*laps) if step.any() else ():
            ends = (tuple((end + lap)[::-1]) for end in (tail, head))
            axes.add_patch(FancyArrowPatch(*ends, color=colour, path_effects=outline, zorder=3, **look))
        axes.scatter(tail[1], tail[0], 26, color=[colour], edgecolors="black", linewidths=0.8, zorder=4)

"""Maps as pictures: pixel-exact images for TensorBoard, and figures with axes.

Hits are BMU counts; rows of the lattice run downwards. On a torus the left edge continues at the right, the top at the
bottom.
"""

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from callbacks.style import DENSITY, class_colours

__all__ = ["class_strip", "density_image", "maps_figure", "occupied_classes", "region_image", "strip_figure"]

UNIT = 12  # pixels a unit
GAP = 6  # pixels between the maps of a strip
SHOWN = 8  # classes in a strip


def density_image(hits: np.ndarray) -> np.ndarray:
    """Density of the BMUs in colour, from none (dark) to the map's largest (bright).

    Args:
        hits: (rows, cols) counts.

    Returns:
        (rows * 12, cols * 12, 3) uint8.
    """
    shares = hits / max(1, hits.max())
    return _enlarge(matplotlib.colormaps[DENSITY](shares)[..., :3])


def region_image(hits: np.ndarray) -> np.ndarray:
    """Each unit in the colour of its most frequent class, paler where other classes share it; white where none hit.

    Args:
        hits: (classes, rows, cols) counts.

    Returns:
        (rows * 12, cols * 12, 3) uint8.
    """
    total = hits.sum(0)
    purity = np.where(total > 0, hits.max(0) / np.maximum(total, 1), 0)[..., None]
    colours = class_colours(len(hits))[hits.argmax(0)]
    return _enlarge(1 - purity + purity * colours)


def class_strip(hits: np.ndarray) -> np.ndarray:
    """The density of the BMUs of each class, side by side, each up to its own largest.

    Args:
        hits: (classes, rows, cols) counts of the classes to show.

    Returns:
        (rows * 12, width, 3) uint8.
    """
    images = [density_image(each) for each in hits]
    gap = np.full((images[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for image in images for part in (image, gap)][:-1], axis=1)


def occupied_classes(hits: np.ndarray) -> list[int]:
    """Up to 8 classes that have images, the first in label order. `hits` is (classes, rows, cols)."""
    return np.flatnonzero(hits.sum((1, 2)))[:SHOWN].tolist()


def maps_figure(hits: dict[str, np.ndarray], density_scale: float = 100) -> Figure:
    """Density (top) and class regions (bottom) of every depth; the paper scales densities by 100, and so do we.

    Args:
        hits: (classes, rows, cols) counts by depth.
        density_scale: factor on the share of images a unit.
    """
    height = 2.5 * _aspect(hits)
    figure = Figure(figsize=(0.9 + 2.9 * len(hits), 1.9 + 2 * height), layout="constrained")
    panels = figure.subplots(2, len(hits), squeeze=False)
    densities = {depth: density_scale * each.sum(0) / max(1, each.sum()) for depth, each in hits.items()}
    top = max(density.max() for density in densities.values())
    for (above, below), (depth, each) in zip(panels.T, hits.items(), strict=True):
        image = above.imshow(densities[depth], cmap=DENSITY, vmin=0, vmax=top or 1, interpolation="nearest")
        above.set_title(f"{_tail(depth, 36)}\nn = {each.sum()}", fontsize=9)
        below.imshow(region_image(each)[::UNIT, ::UNIT], interpolation="nearest")
        _lattice_axes(above, below)
    # Beside both rows of panels, though it belongs to the upper one: so they keep the same widths.
    figure.colorbar(image, ax=panels, label=f"density of BMUs x {density_scale:g}", shrink=0.45, anchor=(0, 1))
    panels[0, 0].set_ylabel("row")
    panels[1, 0].set_ylabel("row")
    for below in panels[1]:
        below.set_xlabel("column")
    _headline(figure, "BMU density (top); most frequent class of each unit, paler where mixed (bottom)")
    return figure


def strip_figure(hits: dict[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """BMUs of the inputs of one class in each column, a depth in each row.

    Args:
        hits: (classes, rows, cols) counts by depth.
        classes: class names, in label order.
    """
    shown = occupied_classes(next(iter(hits.values())))
    columns = max(1, len(shown))
    size = (max(2.6, 0.6 + 1.7 * columns), 1.3 + (0.1 + 1.6 * _aspect(hits)) * len(hits))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(hits), columns, squeeze=False)
    for row, (depth, each) in zip(panels, hits.items(), strict=True):
        row[0].set_ylabel(_tail(depth, 16), fontsize=8)
        for axes, label in zip(row, shown, strict=False):
            axes.imshow(each[label], cmap=DENSITY, vmin=0, interpolation="nearest")
        for axes in row:
            axes.set(xticks=[], yticks=[])
    for axes, label in zip(panels[0], shown, strict=False):
        axes.set_title(f"{_short(classes[label])}\nn = {each[label].sum()}", fontsize=9)
    _headline(figure, "BMUs by class, each panel up to its own largest count")
    return figure


def _aspect(hits: dict[str, np.ndarray]) -> float:
    """Height over width of the lattices, within what a page takes."""
    rows, cols = next(iter(hits.values())).shape[1:]
    return min(1.5, max(0.5, rows / cols))


def _headline(figure: Figure, text: str) -> None:
    """A title over all panels, in as many lines as the figure's width asks for."""
    figure.suptitle(textwrap.fill(text, int(11 * figure.get_figwidth())), fontsize=10)


def _enlarge(colours: np.ndarray) -> np.ndarray:
    """(rows, cols, 3) in [0, 1] to uint8 with square blocks of pixels."""
    return np.rint(255 * colours).astype(np.uint8).repeat(UNIT, 0).repeat(UNIT, 1)


def _lattice_axes(*panels: Axes) -> None:
    for axes in panels:
        axes.tick_params(labelsize=8)
        axes.locator_params(integer=True, nbins=5)


def _tail(name: str, length: int) -> str:
    """The end of a dotted module name, which tells layers apart."""
    return name if len(name) <= length else "…" + name[1 - length :]


def _short(name: str) -> str:
    """The first of the names that ImageNet lists for a class, cut to fit over a panel."""
    first = name.split(",")[0]
    return first if len(first) <= 16 else first[:15] + "…"

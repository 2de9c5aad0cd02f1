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
from matplotlib.patches import Patch
from PIL import Image, ImageDraw, ImageFont

from callbacks.style import DENSITY, class_colours

__all__ = ["class_strip", "density_image", "maps_figure", "occupied_classes", "region_image", "strip_figure"]

UNIT = 12  # pixels a unit
GAP = 6  # pixels between the maps of a strip
LABEL = 16  # pixels for a name over a map
SHOWN = 8  # classes in a strip
LISTED = 20  # classes in a legend


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


def class_strip(hits: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The density of the BMUs of each class, side by side under its name, each up to its own largest.

    Args:
        hits: (classes, rows, cols) counts of the classes to show.
        names: their names; what does not fit over a map is cut off.

    Returns:
        (16 + rows * 12, width, 3) uint8.
    """
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 11)
    images = []
    for each, name in zip(hits, names, strict=True):
        tile = density_image(each)
        label = Image.new("RGB", (tile.shape[1], LABEL), "white")
        ImageDraw.Draw(label).text((1, 1), _short(name, 40), "black", font)
        images.append(np.concatenate([np.asarray(label), tile]))
    gap = np.full((images[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for image in images for part in (image, gap)][:-1], axis=1)


def occupied_classes(hits: np.ndarray) -> list[int]:
    """Up to 8 classes that have images, the first in label order. `hits` is (classes, rows, cols)."""
    return np.flatnonzero(hits.sum((1, 2)))[:SHOWN].tolist()


def maps_figure(hits: dict[str, np.ndarray], classes: Sequence[str], density_scale: float = 100) -> Figure:
    """Density (top) and class regions (bottom) of every depth; the paper scales densities by 100, and so do we.

    Args:
        hits: (classes, rows, cols) counts by depth.
        classes: class names, in label order; a legend names the colours of up to 20.
        density_scale: factor on the share of images a unit.
    """
    width = 0.9 + 2.9 * len(hits)
    names = [_short(name, 20) for name in classes] if len(classes) <= LISTED else []
    columns = max(1, int(width / 1.9))
    legend = 0.2 * -(-len(names) // columns)  # inches
    figure = Figure(figsize=(width, 1.7 + 5 * _aspect(hits) + legend), layout="constrained")
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
    _outer_labels(panels)
    if names:
        colours = class_colours(len(names))
        patches = [Patch(color=colour, label=name) for colour, name in zip(colours, names, strict=True)]
        figure.legend(handles=patches, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    legend_text = f"colour = majority class, {len(classes)} classes; pale = mixed; white = no image"
    _headline(figure, f"Top: BMU density. Bottom: {legend_text}")
    return figure


def strip_figure(hits: dict[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """BMUs of the inputs of one class in each column, a depth in each row.

    Args:
        hits: (classes, rows, cols) counts by depth.
        classes: class names, in label order.
    """
    shown = occupied_classes(next(iter(hits.values())))
    columns = max(1, len(shown))
    size = (max(3.2, 1.4 + 1.7 * columns), 1.5 + (0.1 + 1.6 * _aspect(hits)) * len(hits))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(hits), columns, squeeze=False, sharex=True, sharey=True)
    for row, each in zip(panels, hits.values(), strict=True):
        for axes, label in zip(row, shown, strict=False):
            counts = each[label]
            image = axes.imshow(counts / max(1, counts.max()), cmap=DENSITY, vmin=0, vmax=1, interpolation="nearest")
        _lattice_axes(*row)
    if shown:
        figure.colorbar(image, ax=panels, aspect=40).set_label("count / the panel's largest", fontsize=8)
    _outer_labels(panels)
    for row, depth in zip(panels, hits, strict=True):
        row[0].set_ylabel(f"{_tail(depth, 16)}\nrow", fontsize=8)
    for axes, label in zip(panels[0], shown, strict=False):
        axes.set_title(f"{_short(classes[label], 16)}\nn = {each[label].sum()}", fontsize=9)
    _headline(figure, f"BMUs by class, {len(shown)} of {len(classes)} classes; each panel up to its own largest count")
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


def _outer_labels(panels: np.ndarray) -> None:
    for axes in panels[:, 0]:
        axes.set_ylabel("row", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel("column", fontsize=8)


def _tail(name: str, length: int) -> str:
    """The end of a dotted module name, which tells layers apart."""
    return name if len(name) <= length else "…" + name[1 - length :]


def _short(name: str, length: int) -> str:
    """The first of the names that ImageNet lists for a class, cut to a length."""
    first = name.split(",")[0]
    return first if len(first) <= length else first[: length - 1] + "…"

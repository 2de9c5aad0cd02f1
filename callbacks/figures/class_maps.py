"""BMUs of the images of single classes: a map a row (depths of a run, or SOM-tr above SOM-val), a class a column."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from callbacks.figures.layout import LatticeSheet, first_name
from callbacks.figures.maps import PIXELS
from callbacks.map_drawing import GAMMA, class_shades
from callbacks.style import DENSITY

__all__ = ["bmus_by_class_figure"]

TICKS = (0, 0.01, 0.1, 0.3, 1)


def bmus_by_class_figure(
    tables: Mapping[str, np.ndarray], classes: Sequence[str], chosen: Sequence[int], what: str = "", warning: str = ""
) -> Figure:
    """Share of a class's images at each unit; all panels have the same range of colours, from none to all of them.

    Args:
        tables: (classes, rows, cols) counts by the name of the row: a depth, or a run.
        classes: class names, in label order.
        chosen: labels of the classes to show, one column each, at least one.
        what: what all rows show, for the title.
        warning: what to know before comparing the rows.
    """
    columns = [first_name(classes[label], 16) for label in chosen]
    keys = [f"{number} {name}" for number, name in enumerate(columns)]  # two classes may have one name
    grid = {row: dict(zip(keys, table[list(chosen)], strict=True)) for row, table in tables.items()}
    title = f"BMUs by class{what and ', '}{what}: {len(chosen)} of {len(classes)} classes, share of each at a unit"
    sheet = LatticeSheet(grid, title, warning, size=1.6)
    for number, (line, table) in enumerate(zip(sheet.panels, tables.values(), strict=True)):
        for axes, label, name in zip(line, chosen, columns, strict=True):
            image = axes.imshow(class_shades(table[label]), cmap=DENSITY, vmin=0, vmax=1, **PIXELS)
            differ = any(other[label].sum() != table[label].sum() for other in tables.values())
            counted = f"n = {table[label].sum()}" if number == 0 or differ else ""
            axes.set_title(f"{name}\n{counted}" if number == 0 else counted, fontsize=8)
    bar = sheet.bar(image, "share of the class")
    bar.set_ticks([tick**GAMMA for tick in TICKS], labels=[f"{tick:g}" for tick in TICKS])
    return sheet.figure

"""BMUs of the images of single classes, each class in a panel of its own or all of them in colours.

The paper has a class a column, and SOM-tr above SOM-val; within a run the rows are the depths.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from callbacks.figures.layout import Grid, LatticeSheet, counted_title, first_name
from callbacks.figures.maps import PIXELS
from callbacks.map_drawing import GAMMA, UNIT, class_shades, region_image
from callbacks.style import DENSITY, class_colours

__all__ = ["bmus_by_class_figure", "class_regions_figure"]

TICKS = (0, 0.01, 0.1, 0.3, 1)
GREY = 222  # of units where only other classes land


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


def class_regions_figure(
    grid: Grid[np.ndarray], classes: Sequence[str], chosen: Sequence[int], warning: str = ""
) -> Figure:
    """Chosen classes in colours on one map: a row a run, a column a depth.

    Each unit has the colour of the chosen class with most images there, paler where other chosen classes share it;
    light grey where only other classes land, white where none does.

    Args:
        grid: (classes, rows, cols) counts.
        classes: class names, in label order.
        chosen: labels of the classes to show, at most 9.
        warning: what to know before comparing the rows.
    """
    others = len(chosen) < len(classes)
    title = f"BMUs of {len(chosen)} of {len(classes)} classes; pale = shared among them; white = no image"
    sheet = LatticeSheet(grid, title, warning, legend=len(chosen) + others, bar=False)
    for line, depths in zip(sheet.panels, grid.values(), strict=True):
        for axes, (depth, hits) in zip(line, depths.items(), strict=True):
            picture = region_image(hits[list(chosen)])[::UNIT, ::UNIT].copy()
            picture[(hits[list(chosen)].sum(0) == 0) & (hits.sum(0) > 0)] = GREY
            axes.imshow(picture, **PIXELS)
            axes.set_title(counted_title(depth, f"n = {hits[list(chosen)].sum()}", sheet.width), fontsize=9)
    names = [first_name(classes[label], 18) for label in chosen]
    patches = [Patch(color=colour, label=name) for colour, name in zip(class_colours(len(names)), names, strict=True)]
    sheet.legend([*patches, *([Patch(color=str(GREY / 255), label="other classes")] if others else [])])
    return sheet.figure

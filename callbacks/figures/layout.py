"""What the figures share: a sheet of panels, lattices on it, names that fit, and which of many classes are shown.

A *grid* is {row: {depth: array}}: one row of panels a run, and a single row named "" for the pictures of one run. All
rows have the same depths; lattices may differ from row to row.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure

__all__ = ["Grid", "LatticeSheet", "Sheet", "chosen_classes", "counted_title", "first_name", "tail"]

SHOWN = 8  # classes that one picture tells apart
WARNING = "#B00020"
LINE = 0.17  # inches a line of text
ENTRY = 1.75  # inches an entry of a legend
LETTER = 0.072  # inches a letter of a row's name
LETTER_OF_TITLE = 0.083
LETTER_OF_HEAD = 0.08  # of the title over everything
NARROWEST = 4.4  # inches of a figure, so that its title fits

Value = TypeVar("Value")
Grid = Mapping[str, Mapping[str, Value]]


class Sheet:
    """A figure whose panels stand at places in inches; matplotlib's own layout takes minutes for 50 panels.

    Args:
        widths: of the columns of panels.
        heights: of the rows of panels.
        title: over everything, in as many lines as the width asks for.
        warning: what to know before comparing the panels; it stands in red below the title. "" for nothing.
        gaps: between columns and between rows, with what stands there: ticks, labels, titles.
        margins: left of, below and above the panels, likewise.
        legend: entries of the legend below.
        bar: whether there is a colour bar at the right.

    Attributes:
        figure: the figure.
        panels: (rows, columns) of axes.
    """

    def __init__(
        self,
        widths: Sequence[float],
        heights: Sequence[float],
        title: str,
        warning: str = "",
        *,
        gaps: tuple[float, float] = (0.35, 0.5),
        margins: tuple[float, float, float] = (0.75, 0.5, 0.4),
        legend: int = 0,
        bar: bool = False,
    ) -> None:
        left, below, above = margins
        inner = sum(widths) + gaps[0] * (len(widths) - 1)
        width = max(NARROWEST, left + inner + (1.1 if bar else 0.25))
        left += (width - left - inner - (1.1 if bar else 0.25)) / 2
        letters = int(width / LETTER_OF_HEAD)
        lines = [*textwrap.wrap(title, letters), *_wrapped_warning(warning, letters)]
        self._columns = max(1, int((width - 0.4) / ENTRY))
        foot = below + (0.15 + 1.1 * LINE * -(-legend // self._columns) if legend else 0)
        body = sum(heights) + gaps[1] * (len(heights) - 1)
        height = foot + body + above + 0.12 + LINE * len(lines)
        self.figure = Figure(figsize=(width, height))
        self.figure.suptitle(
            "\n".join(lines), y=1 - 0.06 / height, fontsize=10, va="top", color=WARNING if warning else "black"
        )
        self._size, self._body = np.array([width, height]), (foot, body, left + inner)
        self.panels = np.empty((len(heights), len(widths)), dtype=object)
        bottom = foot + body
        for row, tall in enumerate(heights):
            bottom -= tall
            for column, wide in enumerate(widths):
                start = left + sum(widths[:column]) + gaps[0] * column
                self.panels[row, column] = self._add(start, bottom, wide, tall)
            bottom -= gaps[1]

    def _add(self, left: float, bottom: float, width: float, height: float) -> Axes:
        place = np.array([[left, bottom], [width, height]]) / self._size
        return self.figure.add_axes(tuple(place.ravel()))

    def bar(self, image: Any, label: str, extend: Literal["neither", "both", "max"] = "neither") -> Colorbar:
        """Put a colour bar at the right, as high as all panels but no more than 5 inches."""
        foot, body, right = self._body
        height = min(body, 5)
        axes = self._add(right + 0.25, foot + (body - height) / 2, 0.16, height)
        found = self.figure.colorbar(image, cax=axes, extend=extend)
        found.set_label(label, fontsize=8)
        axes.tick_params(labelsize=8)
        if height < 1.2:
            axes.locator_params(nbins=3)
        return found

    def legend(self, handles: Sequence[Artist]) -> None:
        """Put a legend at the bottom; the sheet must have been told how many entries it has."""
        self.figure.legend(
            handles=list(handles), loc="lower center", ncols=self._columns, fontsize=8, frameon=False, borderaxespad=0.2
        )


class LatticeSheet(Sheet):
    """One panel a lattice: rows named at the left, depths at the top, columns and rows of the lattice at the rim.

    Args:
        grid: arrays whose last two axes are the lattice's.
        title: over everything.
        warning: what to know before comparing the rows.
        size: width of a panel in inches; those of tall lattices are narrower.
        legend: entries of the legend below.
        bar: whether there is a colour bar at the right.
        ranges: whether rows show other ranges of columns, so that each needs numbers below it.

    Attributes:
        width: of the widest panel, in inches.
    """

    def __init__(
        self,
        grid: Grid[np.ndarray],
        title: str,
        warning: str = "",
        *,
        size: float = 2.5,
        legend: int = 0,
        bar: bool = True,
        ranges: bool = False,
    ) -> None:
        shapes = [next(iter(depths.values())).shape[-2:] for depths in grid.values()]
        sizes = [_panel_size(shape, size) for shape in shapes]
        self.width = width = max(wide for wide, _ in sizes)
        ranges = ranges or len(set(shapes)) > 1
        names = [tail(name, 30) for name in grid]
        flat = any(LETTER * len(name) > tall for name, (_, tall) in zip(names, sizes, strict=True))
        super().__init__(
            [width] * len(next(iter(grid.values()))),
            [tall for _, tall in sizes],
            title,
            warning,
            gaps=(0.15, 0.62 if ranges else 0.42),
            margins=(0.75 + LETTER * max(map(len, names)) * flat, 0.5, 0.4),
            legend=legend,
            bar=bar,
        )
        for number, (line, name, depths) in enumerate(zip(self.panels, names, grid.values(), strict=True)):
            rows, cols = shapes[number]
            last = number == len(shapes) - 1
            for axes, depth in zip(line, depths, strict=True):
                box = axes.get_position()
                axes.set_position((box.x0, box.y0, box.width * sizes[number][0] / width, box.height))
                axes.set(xlim=(-0.5, cols - 0.5), ylim=(rows - 0.5, -0.5))
                axes.tick_params(labelsize=8, labelleft=axes is line[0], labelbottom=last or ranges)
                axes.locator_params(integer=True, nbins=5)
                axes.set_title(tail(depth, int(width / LETTER_OF_TITLE)), fontsize=9)
                axes.set_xlabel("column" if last else "", fontsize=8)
            line[0].set_ylabel(name if flat else f"{name}\nrow" if name else "row", fontsize=8)
            if flat:  # names too long to stand upright beside their panels
                line[0].yaxis.label.set(rotation=0, ha="right", va="center")


def chosen_classes(samples: np.ndarray, most: int = SHOWN) -> list[int]:
    """Up to `most` classes that have samples, evenly spaced in label order, the first and the last among them.

    Args:
        samples: (classes,) number of samples of each.
        most: how many.
    """
    present = np.flatnonzero(samples)
    if len(present) > most:
        present = present[np.round(np.linspace(0, len(present) - 1, most)).astype(int)]
    return present.tolist()


def counted_title(name: str, count: str, width: float) -> str:
    """A depth and what it counts, in one line of 9 points over a panel.

    Args:
        name: of the depth; its end, if it is too long.
        count: such as "n = 120".
        width: of the panel, in inches.
    """
    return f"{tail(name, max(5, int(width / LETTER_OF_TITLE) - len(count) - 2))}, {count}"


def tail(name: str, length: int) -> str:
    """The end of a dotted module name or a path, which tells them apart."""
    return name if len(name) <= length else "…" + name[1 - length :]


def first_name(name: str, length: int) -> str:
    """The first of the names that ImageNet lists for a class, cut to a length."""
    first = name.split(",")[0]
    return first if len(first) <= length else first[: length - 1] + "…"


def _panel_size(shape: tuple[int, ...], size: float) -> tuple[float, float]:
    """Width and height in inches of a lattice (rows, cols), square units unless it is very long."""
    ratio = min(1.8, max(0.3, shape[0] / shape[1]))
    width = size * min(1, 1.2 / ratio)
    return width, width * ratio


def _wrapped_warning(warning: str, width: int) -> list[str]:
    return textwrap.wrap(f"WARNING: {warning}", width) if warning else []

"""The depth profile: what the maps say of the classes from the input to the output, with intervals and nulls.

Numbers come as measures.json has them: {quantity: {depth: number}}, beside each quantity, where there are any, its
95 % interval (`_low`, `_high`) and its null (`_null_mean`, `_null_low`, `_null_high`). What a run lacks is left out.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from callbacks.figures.layout import Sheet, tail
from callbacks.style import depth_colours, run_styles

__all__ = ["Numbers", "depth_profile_figure"]

Numbers = Mapping[str, Mapping[str, Any]]
"""{quantity: {depth: number}}, the "validate" part of measures.json."""

DODGE = 0.12  # of a depth's width: how far apart runs stand, so that none hides another


@dataclass(frozen=True)
class Panel:
    """One quantity by depth.

    Args:
        quantity: its name in measures.json.
        title: what it says.
        unit: label of the axis.
        level: what labels that say nothing read, drawn as a line; NaN for none.
        logarithmic: whether the axis is.
        top: upper end of the axis, if it has one.
    """

    quantity: str
    title: str
    unit: str
    level: float = math.nan
    logarithmic: bool = False
    top: float | None = None


PANELS = (
    Panel("collision_lift", "Collision lift: classes share units", "times the chance rate", 1, True),
    Panel("distance_ratio", "D_in / D_out: classes are compact", "ratio of distances", 1),
    Panel("label_transfer", "Label transfer: units name classes", "accuracy, held out", top=1.03),
    Panel("left_out_transfer", "Label transfer, each image left out", "accuracy", top=1.03),
    Panel("effective_units", "Effective units: how evenly used", "units"),
    Panel("cka", "CKA of neighbouring depths", "linear CKA of the codes", top=1.03),
)


def depth_profile_figure(runs: Mapping[str, Numbers], depths: Sequence[str], warning: str = "") -> Figure | None:
    """A panel a quantity: a colour a depth for one run, a colour a run for several; bars are intervals, bands nulls.

    Args:
        runs: numbers by run; a single run may be named "".
        depths: names of the depths, from the input to the output.
        warning: what to know before comparing the runs.

    Returns:
        The figure; None if no run has any of its numbers.
    """
    panels = [panel for panel in PANELS if any(_present(numbers, panel, depths) for numbers in runs.values())]
    if any(panel.quantity == "label_transfer" for panel in panels):
        panels = [panel for panel in panels if panel.quantity != "left_out_transfer"]
    if not panels:
        return None
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    long = max(map(len, depths)) > 8
    counted = sorted({_count(numbers, depths) for numbers in runs.values()} - {""})
    title = "Depth profile; bars: 95 % intervals; bands: 95 % of the null (permuted labels; units: even spread)"
    sheet = Sheet(
        [max(2.9, 0.5 * len(depths))] * across,
        [2.1] * down,
        "; ".join([title, *counted]),
        warning,
        gaps=(0.7, 0.7 + 0.7 * long),
        margins=(0.75, 0.35 + 0.75 * long, 0.3),
        legend=len(runs) if len(runs) > 1 else 0,
    )
    styles = run_styles(list(runs))
    for axes, panel in zip(sheet.panels.flat, panels, strict=False):
        for number, (run, numbers) in enumerate(runs.items()):
            offset = DODGE * (number - (len(runs) - 1) / 2) / max(1, (len(runs) - 1) / 4)
            draw = _draw_similarity if panel.quantity == "cka" else _draw_quantity
            draw(axes, panel, numbers, depths, offset, styles[run] if len(runs) > 1 else None)
        _finish(axes, panel, depths)
    for axes in sheet.panels.flat[len(panels) :]:
        axes.remove()
    if len(runs) > 1:
        sheet.legend([Line2D([], [], color=c, marker=m, label=tail(run, 22)) for run, (c, m) in styles.items()])
    return sheet.figure


def values(numbers: Numbers, quantity: str, depths: Sequence[str]) -> np.ndarray:
    """(L,) values of a quantity; NaN where it is absent or undefined."""
    found = numbers.get(quantity, {})
    return np.array([np.nan if found.get(depth) is None else found[depth] for depth in depths], float)


def _present(numbers: Numbers, panel: Panel, depths: Sequence[str]) -> bool:
    drawn = _similarity(numbers, depths) if panel.quantity == "cka" else values(numbers, panel.quantity, depths)
    return bool(np.isfinite(drawn).any())


def _similarity(numbers: Numbers, depths: Sequence[str]) -> np.ndarray:
    """(L - 1,) CKA of each depth with the next."""
    return np.array([values(numbers, f"cka_{one}", [other])[0] for one, other in pairwise(depths)])


def _draw_quantity(
    axes: Axes,
    panel: Panel,
    numbers: Numbers,
    depths: Sequence[str],
    offset: float,
    style: tuple[str, str] | None,
) -> None:
    place = np.arange(len(depths)) + offset
    found: Callable[[str], np.ndarray] = lambda suffix: values(numbers, panel.quantity + suffix, depths)  # noqa: E731
    line, marker = style or ("0.6", "o")
    low, high = found("_null_low"), found("_null_high")
    half = DODGE / 2 if style else 0.3
    if np.isfinite(low).any():
        for x, bottom, top in zip(place, low, high, strict=True):
            axes.fill_between([x - half, x + half], bottom, top, color=line, alpha=0.25, linewidth=0)
        for x, mean in zip(place, found("_null_mean"), strict=True):
            axes.plot([x - half, x + half], [mean, mean], color=line, linewidth=1)
    axes.plot(place, found(""), color=line, linewidth=1.2, zorder=2)
    colours = [line] * len(depths) if style else list(depth_colours(depths).values())
    for x, value, bottom, top, colour in zip(place, found(""), found("_low"), found("_high"), colours, strict=True):
        axes.vlines(x, bottom, top, color=colour, linewidth=2, alpha=0.7, zorder=2)
        axes.plot(x, value, color=colour, marker=marker, markersize=6, linestyle="", zorder=3)


def _draw_similarity(
    axes: Axes,
    panel: Panel,
    numbers: Numbers,
    depths: Sequence[str],
    offset: float,
    style: tuple[str, str] | None,
) -> None:
    line, marker = style or ("0.3", "o")
    place = np.arange(len(depths) - 1) + 0.5
    axes.plot(place, _similarity(numbers, depths), color=line, marker=marker, linewidth=1.2)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)


def _finish(axes: Axes, panel: Panel, depths: Sequence[str]) -> None:
    if not math.isnan(panel.level):  # before the scale, which wants something above 0
        axes.axhline(panel.level, color="0.4", linestyle=":", linewidth=1, zorder=1)
    if panel.logarithmic:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(LogLocator(subs=(1,) if high > 1e3 * low else (1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    if panel.top is not None:
        axes.set_ylim(top=panel.top)
    long = max(map(len, depths)) > 8
    look: dict[str, Any] = {"rotation": 40, "ha": "right"} if long else {}
    axes.set_xticks(range(len(depths)), [tail(depth, 14) for depth in depths], fontsize=8, **look)
    axes.set_xlim(-0.6, len(depths) - 0.4)
    axes.tick_params(axis="y", which="both", labelsize=8)
    axes.set_ylabel(panel.unit, fontsize=8)
    axes.set_title(panel.title, fontsize=9)
    axes.grid(alpha=0.3, axis="y", linewidth=0.5)


def _count(numbers: Numbers, depths: Sequence[str]) -> str:
    """How many images and classes the numbers are of, as far as known."""
    samples, classes = (values(numbers, name, depths[:1])[0] for name in ("samples", "classes"))
    return "" if np.isnan(samples) else f"n = {samples:.0f} images of {classes:.0f} classes"

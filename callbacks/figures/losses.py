"""Loss curves of the maps in the paper's colours: raw as in Fig. 3 of arXiv 2205.10952, and comparable by depth."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from callbacks.figures.layout import Sheet, tail
from callbacks.style import depth_colours

__all__ = ["LABELS", "Curve", "losses_figure"]

Curve = tuple[np.ndarray, np.ndarray]
"""Steps (T,) and values (T,) of a curve; values that are not finite leave a gap."""

LABELS = {
    "energy": ("raw loss (code units squared)", "raw: no comparison between depths, their codes differ in scale"),
    "relative_energy": ("loss / that of a map of mean codes", "relative: 1 = the mean code, 0 = every code is a unit"),
}
SMOOTH = 300  # points from which on a curve is drawn as means over as many stretches


def losses_figure(runs: Mapping[str, Mapping[str, Mapping[str, Curve]]], warning: str = "") -> Figure | None:
    """A row a run, a column each for the raw and the relative loss, one colour a depth; the raw loss is logarithmic.

    Args:
        runs: curves by run, quantity ("energy", "relative_energy") and depth. A quantity that no run has gets no
            column; one that a run lacks is left out of its row.
        warning: what to know before comparing the rows.

    Returns:
        The figure; None if nothing was recorded.
    """
    runs = {name: run for name, run in runs.items() if any(run.values())}
    if not runs:
        return None
    quantities = [name for name in LABELS if any(run.get(name) for run in runs.values())]
    depths = list(dict.fromkeys(depth for run in runs.values() for curves in run.values() for depth in curves))
    colours = depth_colours(depths)
    sheet = Sheet(
        [4.2] * len(quantities),
        [2.3] * len(runs),
        "Loss of the maps while fitting; sigma shrinks, and the raw loss with it",
        warning,
        gaps=(0.8, 0.75),
        legend=len(depths),
    )
    for line, (name, run) in zip(sheet.panels, runs.items(), strict=True):
        for axes, quantity in zip(line, quantities, strict=True):
            if not run.get(quantity):
                axes.remove()
                continue
            for depth, curve in run[quantity].items():
                _draw(axes, curve, colours[depth])
            if quantity == "energy":
                axes.set_yscale("log")
            else:
                axes.set_ylim(bottom=0)
            axes.set_ylabel(LABELS[quantity][0], fontsize=8)
            axes.set_title(f"{tail(name, 30)}\n{LABELS[quantity][1]}" if name else LABELS[quantity][1], fontsize=8)
            axes.tick_params(labelsize=8, which="both")
            axes.grid(alpha=0.3, which="both", linewidth=0.5)
    for axes in sheet.panels[-1]:
        axes.set_xlabel("training step", fontsize=8)
    sheet.legend([Line2D([], [], color=colour, label=tail(depth, 18)) for depth, colour in colours.items()])
    return sheet.figure


def _draw(axes: Axes, curve: Curve, colour: str) -> None:
    steps, values = (np.asarray(part, float) for part in curve)
    values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    if len(steps) <= SMOOTH:
        axes.plot(steps, values, color=colour, linewidth=1.5, marker="." if len(steps) < 40 else "")
        return
    axes.plot(steps, values, color=colour, linewidth=0.4, alpha=0.35, rasterized=True)
    stretches = [part for part in np.array_split(np.arange(len(steps)), SMOOTH)]
    middle = [steps[part].mean() for part in stretches]
    means = [np.nanmean(values[part]) if np.isfinite(values[part]).any() else np.nan for part in stretches]
    axes.plot(middle, means, color=colour, linewidth=1.5)

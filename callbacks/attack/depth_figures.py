"""Figures of what attacks do from depth to depth: amplification of the shift of codes, and ROC curves of scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from callbacks.attack.separation import WHOLE, Scores
from callbacks.style import depth_colours
from measures import auroc, roc_curve

__all__ = ["amplification_figure", "separation_figure"]

MARKERS = "os^Dvp*"
ROW = 3  # panels side by side


def amplification_figure(results: dict[str, Any], depths: Sequence[str]) -> Figure:
    """How many times further than noise of the same size an attack carries the codes, from the input to the output.

    A line a budget, from light to dark; 1 = no further than noise. A row an attack: over its own control and, where
    that is another, over Gaussian noise of its L2.

    Args:
        results: the "test" part of measures.json; some image was attacked.
        depths: names of the depths.
    """
    attacks = {
        label: found for label, found in results["attacks"].items() if any(n["by_depth"] for n in found.values())
    }
    figure = Figure(figsize=(7.6, 0.8 + 2.7 * len(attacks)), layout="constrained")
    panels = figure.subplots(len(attacks), 2, sharey="row", squeeze=False)
    place = np.arange(len(depths))
    for row, (label, by_budget) in zip(panels, attacks.items(), strict=False):
        own = next(iter(by_budget.values()))["control"]
        shown = {"control": f"{own} noise", "gaussian": "Gaussian noise, same L2"}
        if own == "gaussian":
            del shown["control"]
            row[1].remove()
        for axes, (kind, noise) in zip(row, shown.items(), strict=False):
            for index, (name, numbers) in enumerate(by_budget.items()):
                values = [numbers["by_depth"].get(d, {}).get("amplification", {}).get(kind) for d in depths]
                values = [np.nan if value is None else value for value in values]
                shade = 0.25 + 0.75 * (index + 1) / len(by_budget)
                axes.plot(place, values, MARKERS[index % len(MARKERS)] + "-", color="C0", alpha=shade, label=name)
            axes.axhline(1, color="0.5", linewidth=0.8, linestyle=":")
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.set_title(f"{label} over {noise}", fontsize=9)
            axes.set_xticks(place, [depth[-12:] for depth in depths])
            axes.grid(alpha=0.3)
        row[0].set_ylabel("shift of the code, times noise's")
        axes.legend(fontsize=7, title="budget", title_fontsize=7)
    title = f"Amplification of code shifts by depth: medians over {results['attacked']} attacked images"
    figure.suptitle(title, fontsize=10)
    return figure


def separation_figure(
    scores: Scores, title: str, depths: Sequence[str], adaptive: Scores | None = None, name: str = ""
) -> Figure:
    """ROC curves of every score, a panel a score and a colour a depth; under the adaptive attack dashed.

    Args:
        scores: positives and negatives of `separation_scores`.
        title: which attack, and on what.
        depths: names of the depths.
        adaptive: the same under the adaptive attack, None if it did not run.
        name: what that is called.
    """
    columns = max(1, min(ROW, len(scores)))
    rows = max(1, -(-len(scores) // columns))
    figure = Figure(figsize=(1 + 3.1 * columns, 1.2 + 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    colours = depth_colours(depths) | {WHOLE: "0.2"}
    for axes, (score, by_depth) in zip(panels, scores.items(), strict=False):
        for depth, (positive, negative, *_) in by_depth.items():
            under = (adaptive or {}).get(score, {}).get(depth)
            text = f"{depth[-12:]} {float(auroc(positive, negative)):.2f}"
            axes.plot(*roc_curve(positive, negative), color=colours[depth], label=text)
            if under is not None:
                axes.plot(*roc_curve(*under[:2]), color=colours[depth], linestyle="--")
                axes.lines[-2].set_label(f"{text} ({float(auroc(*under[:2])):.2f})")
        axes.plot((0, 1), (0, 1), color="0.7", linewidth=0.8, zorder=0)
        axes.set_title(score.replace("_", " "), fontsize=9)
        axes.legend(fontsize=7, loc="lower right", title="AUROC", title_fontsize=7)
    for axes in panels[len(scores) :]:
        axes.remove()
    other = f"dashed, and in brackets: {name}" if adaptive else "no adaptive attack ran: this says nothing of detection"
    figure.suptitle(f"{title}, against clean and noisy images\n{other}", fontsize=10)
    figure.supxlabel("false positive rate", fontsize=9)
    figure.supylabel("true positive rate", fontsize=9)
    return figure

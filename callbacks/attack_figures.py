"""Figures of the attack stage, drawn from the numbers in measures.json alone."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from callbacks.style import depth_colours

__all__ = ["displacement_figure", "robust_accuracy_figure"]

LINES = ("o-", "s--", "^-.", "D:")  # attacks differ in more than their colour


def robust_accuracy_figure(results: dict[str, Any]) -> Figure:
    """Robust accuracy over the budget, one line an attack with its Wilson intervals, clean accuracy as a dotted line.

    Attacks stand a little apart within a budget, so that equal values hide none of them.

    Args:
        results: the "test" part of measures.json.
    """
    figure = Figure(figsize=(7.2, 4), layout="constrained")
    axes = figure.subplots()
    attacks, clean = results["attacks"], results["clean_accuracy"]
    for index, (attack, by_epsilon) in enumerate(attacks.items()):
        epsilons = [_number(epsilon) for epsilon in by_epsilon]
        beside = [epsilon * 2 ** (0.06 * (index - (len(attacks) - 1) / 2)) for epsilon in epsilons]
        robust = [numbers["robust_accuracy"] for numbers in by_epsilon.values()]
        rates = [r["rate"] for r in robust]
        (line,) = axes.plot(beside, rates, LINES[index % len(LINES)], label=attack.upper())
        bounds = [r["low"] for r in robust], [r["high"] for r in robust]
        axes.vlines(beside, *bounds, alpha=0.5, linewidth=2.5, color=line.get_color())
    label = "clean: 1 by definition" if clean is None else "clean"
    axes.axhline(1 if clean is None else clean["rate"], color="0.4", linestyle=":", label=label)
    _budget_axis(axes, epsilons)
    what = "Agreement with" if clean is None else "Robust accuracy against"
    title = f"{what} {results['reference']}\nn = {results['images']} images, {results['attacked']} attacked"
    axes.set_title(title, fontsize=10)
    axes.set(ylabel="accuracy" if clean else "agreement with its own clean prediction", ylim=(-0.03, 1.03))
    figure.legend(title="bars: 95 % Wilson", loc="outside right upper")
    return figure


def displacement_figure(results: dict[str, Any], depths: Sequence[str]) -> Figure:
    """Mean displacement of the BMUs over the budget, a panel an attack, a colour a depth, noise of equal size dashed.

    Args:
        results: the "test" part of measures.json.
        depths: names of the depths.
    """
    attacks = results["attacks"]
    figure = Figure(figsize=(3 + 4.2 * len(attacks), 4), layout="constrained")
    panels = figure.subplots(1, len(attacks), sharey=True, squeeze=False)[0]
    for axes, (attack, by_epsilon) in zip(panels, attacks.items(), strict=True):
        epsilons = [_number(epsilon) for epsilon in by_epsilon]
        for depth, colour in depth_colours(depths).items():
            moved = [numbers["displacement"][depth] for numbers in by_epsilon.values()]
            noise = [numbers["control_displacement"][depth] for numbers in by_epsilon.values()]
            axes.plot(epsilons, moved, color=colour, marker="o", label=depth)
            axes.plot(epsilons, noise, color=colour, marker="x", linestyle="--")
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)  # so that the axis begins at no displacement
        _budget_axis(axes, epsilons)
        axes.set(title=f"{attack.upper()}, {results['attacked']} of {results['images']} images attacked")
    panels[0].set_ylabel("mean displacement of the BMU (lattice steps)")
    lines = panels[0].get_legend_handles_labels()
    figure.legend(*lines, title="solid: adversarial\ndashed: noise of\nthe same Linf", loc="outside right upper")
    return figure


def _number(epsilon: str) -> float:
    return float(epsilon.removesuffix("/255"))


def _budget_axis(axes: Axes, epsilons: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(epsilons) / 1.25, max(epsilons) * 1.25)
    axes.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
    axes.minorticks_off()
    axes.set_xlabel("Linf budget (1/255 of the pixel range)")
    axes.grid(alpha=0.3)

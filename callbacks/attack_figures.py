"""Figures of the attack stage, drawn from the numbers in measures.json alone."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from callbacks.style import depth_colours

__all__ = ["displacement_figure", "robust_accuracy_figure"]


def robust_accuracy_figure(results: dict[str, Any]) -> Figure:
    """Robust accuracy over the budget, one line an attack with its Wilson band, clean accuracy as a dashed line.

    Args:
        results: the "test" part of measures.json.
    """
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    for attack, by_epsilon in results["attacks"].items():
        epsilons = [_number(epsilon) for epsilon in by_epsilon]
        robust = [numbers["robust_accuracy"] for numbers in by_epsilon.values()]
        (line,) = axes.plot(epsilons, [r["rate"] for r in robust], marker="o", label=attack.upper())
        bounds = [r["low"] for r in robust], [r["high"] for r in robust]
        axes.fill_between(epsilons, *bounds, alpha=0.2, color=line.get_color())
        axes.vlines(epsilons, *bounds, alpha=0.5, color=line.get_color())  # a band of a single budget has no width
    clean = results["clean_accuracy"]
    axes.axhline(clean["rate"], color="0.4", linestyle="--", label="clean")
    _budget_axis(axes, epsilons)
    axes.set(ylabel="accuracy", ylim=(-0.03, 1.03), title=f"Robust accuracy, n = {clean['trials']} images")
    axes.legend(title="bands: 95 % Wilson")
    return figure


def displacement_figure(results: dict[str, Any], depths: Sequence[str]) -> Figure:
    """Mean displacement of the BMUs over the budget, a panel an attack, a colour a depth, noise of equal size dashed.

    Args:
        results: the "test" part of measures.json.
        depths: names of the depths.
    """
    attacks = results["attacks"]
    figure = Figure(figsize=(0.8 + 4.2 * len(attacks), 4), layout="constrained")
    panels = figure.subplots(1, len(attacks), sharey=True, squeeze=False)[0]
    for axes, (attack, by_epsilon) in zip(panels, attacks.items(), strict=True):
        epsilons = [_number(epsilon) for epsilon in by_epsilon]
        for depth, colour in depth_colours(depths).items():
            moved = [numbers["displacement"][depth] for numbers in by_epsilon.values()]
            noise = [numbers["control_displacement"][depth] for numbers in by_epsilon.values()]
            axes.plot(epsilons, moved, color=colour, marker="o", label=depth)
            axes.plot(epsilons, noise, color=colour, marker="x", linestyle="--")
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)  # so that the axis begins at no displacement
        attacked = next(iter(by_epsilon.values()))["attack_success"]["trials"]
        _budget_axis(axes, epsilons)
        axes.set(title=f"{attack.upper()}, n = {attacked} attacked images")
    panels[0].set_ylabel("mean displacement of the BMU (lattice steps)")
    panels[-1].legend(title="solid: adversarial\ndashed: noise of the same Linf")
    return figure


def _number(epsilon: str) -> float:
    return float(epsilon.removesuffix("/255"))


def _budget_axis(axes: Axes, epsilons: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
    axes.minorticks_off()
    axes.set_xlabel("Linf budget (1/255 of the pixel range)")
    axes.grid(alpha=0.3)

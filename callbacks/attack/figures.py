"""Figures of the attack stage, drawn from the numbers in measures.json alone."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from callbacks.style import depth_colours

__all__ = ["displacement_figure", "robust_accuracy_figure"]

LINES = ("o-", "s--", "^-.", "D:")  # attacks differ in more than their colour
NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}
BUDGETS = {"linf": "1/255 of the pixel range", "l2": "pixel values", "l1": "pixel values", "l0": "values changed"}
ROW = 4  # panels side by side


def robust_accuracy_figure(results: dict[str, Any]) -> Figure:
    """Robust accuracy over the budget, a panel a norm, one line an attack with its band of Wilson intervals.

    Attacks stand a little apart within a budget, so that equal values hide none of them. Attacks for the least norm
    have a curve too: the share of images whose norm is larger.

    Args:
        results: the "test" part of measures.json.
    """
    by_norm: dict[str, dict[str, Any]] = {}
    for label, curve in results["curves"].items():
        if results["specs"][label]["norm"] in NORMS and curve:
            by_norm.setdefault(results["specs"][label]["norm"], {})[label] = curve
    norms = [norm for norm in NORMS if norm in by_norm] or ["linf"]
    clean = results["clean_accuracy"]
    figure = Figure(figsize=(2.6 + 4.6 * len(norms), 4), layout="constrained")
    panels = figure.subplots(1, len(norms), sharey=True, squeeze=False)[0]
    labels = list(results["curves"])
    for axes, norm in zip(panels, norms, strict=True):
        curves = by_norm.get(norm, {})
        for index, (label, curve) in enumerate(curves.items()):
            budgets = np.array([_number(name) for name in curve])
            beside = budgets * 2 ** (0.06 * (index - (len(curves) - 1) / 2))
            low, rates, high = (
                [numbers["robust_accuracy"][name] for numbers in curve.values()] for name in ("low", "rate", "high")
            )
            place = labels.index(label)
            colour, line = f"C{place % 10}", LINES[place % len(LINES)]
            axes.plot(beside, rates, line, color=colour, label=label)
            axes.fill_between(beside, low, high, color=colour, alpha=0.12, linewidth=0)
            axes.vlines(beside, low, high, color=colour, alpha=0.5, linewidth=1.5)
        axes.axhline(1 if clean is None else clean["rate"], color="0.4", linestyle=":", label=_clean_name(clean))
        _budget_axis(axes, [_number(name) for curve in curves.values() for name in curve], norm)
        axes.set(ylim=(-0.03, 1.03))
    panels[0].set_ylabel("accuracy" if clean else "agreement with its own clean prediction")
    what = "Agreement with" if clean is None else "Robust accuracy against"
    figure.suptitle(
        f"{what} {results['reference']}\nn = {results['images']} images, {results['attacked']} attacked", fontsize=10
    )
    handles = {name: handle for axes in panels for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), title="bands: 95 % Wilson", loc="outside right upper")
    return figure


def displacement_figure(results: dict[str, Any], depths: Sequence[str]) -> Figure:
    """Mean displacement of the BMUs over the budget, a panel an attack, a colour a depth, noise of equal size dashed.

    An attack without budgets has a single place, named by its kind.

    Args:
        results: the "test" part of measures.json.
        depths: names of the depths.
    """
    attacks = {label: by_budget for label, by_budget in results["attacks"].items() if by_budget}
    columns = max(1, min(ROW, len(attacks)))
    rows = max(1, -(-len(attacks) // columns))
    figure = Figure(figsize=(3 + 4.2 * columns, 0.6 + 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for axes, (label, by_budget) in zip(panels, attacks.items(), strict=False):
        spec = results["specs"][label]
        budgets = [_number(name) if spec["kind"] == "bounded" else 1.0 for name in by_budget]
        for depth, colour in depth_colours(depths).items():
            moved = [numbers["displacement"][depth] for numbers in by_budget.values()]
            noise = [numbers["control_displacement"][depth] for numbers in by_budget.values()]
            axes.plot(budgets, moved, color=colour, marker="o", label=depth)
            axes.plot(budgets, noise, color=colour, marker="x", linestyle="--")
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)  # so that the axis begins at no displacement
        if spec["kind"] == "bounded":
            _budget_axis(axes, budgets, spec["norm"])
        else:
            median = next(iter(by_budget.values()))["norm"]["median"]
            axes.set_xticks([1.0], [spec["kind"]])
            if spec["norm"] in NORMS and median is not None and not math.isnan(median):
                axes.set_xlabel(f"median {NORMS[spec['norm']]} {median:.3g}")
        trials = next(iter(by_budget.values()))["attack_success"]["trials"]
        axes.set_title(f"{label}, {trials} of {results['images']} images attacked", fontsize=10)
    for axes in panels[len(attacks) :]:
        axes.remove()
    for axes in panels[: len(attacks) : columns]:
        axes.set_ylabel("mean displacement of the BMU (lattice steps)")
    lines = panels[0].get_legend_handles_labels()
    figure.legend(*lines, title="solid: adversarial\ndashed: noise of\nthe same size", loc="outside right upper")
    return figure


def _number(budget: str) -> float:
    return float(budget.split("/")[0].split(" ")[0])


def _clean_name(clean: dict[str, float] | None) -> str:
    return "clean: 1 by definition" if clean is None else "clean"


def _budget_axis(axes: Axes, budgets: Sequence[float], norm: str) -> None:
    shown = sorted(set(budgets)) or [1.0]
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(shown) / 1.25, max(shown) * 1.25)
    axes.set_xticks(shown, [f"{budget:g}" for budget in shown], fontsize=8)
    axes.minorticks_off()
    axes.set_xlabel(f"{NORMS[norm]} budget ({BUDGETS[norm]})")
    axes.grid(alpha=0.3)

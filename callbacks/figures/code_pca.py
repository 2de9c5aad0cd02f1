"""The vector codes on their first two principal directions, by depth: what a map of two dimensions leaves out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from callbacks.figures.layout import Sheet, counted_title, first_name
from callbacks.style import CLASS_MARKERS, class_colours

__all__ = ["Projection", "code_pca_figure"]


class Projection(NamedTuple):
    """Codes of n images on their principal directions.

    Attributes:
        scores: (n, 2).
        label: (n,).
        shares: (2,) share of the codes' variance along each; NaN where it is not known.
    """

    scores: np.ndarray
    label: np.ndarray
    shares: np.ndarray


def code_pca_figure(codes: Mapping[str, Projection], classes: Sequence[str], chosen: Sequence[int]) -> Figure:
    """A panel a depth: images of the chosen classes in colour, all others grey.

    Args:
        codes: by depth; depths without images are left out.
        classes: class names, in label order.
        chosen: labels of the classes to colour, at most 9.
    """
    title = f"PCA of the vector codes, a sample of the images; {len(chosen)} of {len(classes)} classes coloured"
    legend = len(chosen) + (len(chosen) < len(classes))
    sheet = Sheet([2.6] * len(codes), [2.6], title, gaps=(0.65, 0), margins=(0.8, 0.5, 0.3), legend=legend)
    colours = [tuple(colour) for colour in class_colours(len(chosen))]
    for axes, (depth, found) in zip(sheet.panels[0], codes.items(), strict=True):
        others = ~np.isin(found.label, list(chosen))
        size = _size(len(found.label))
        axes.scatter(*found.scores[others].T, 0.6 * size, color="0.75", linewidths=0, rasterized=True)
        # In a random order, so that no class lies over the others.
        order = np.random.default_rng(0).permutation(np.flatnonzero(~others))
        size = _size(len(order))  # of a thousand classes the few that are coloured stand out
        position = {label: number for number, label in enumerate(chosen)}
        drawn = np.array([position[label] for label in found.label[order].tolist()], int)
        for part in np.array_split(np.arange(len(order)), min(len(order), 12) or 1):
            for number in np.unique(drawn[part]):
                picked = order[part][drawn[part] == number]
                marker = CLASS_MARKERS[number % len(CLASS_MARKERS)]
                axes.scatter(
                    *found.scores[picked].T, size, color=[colours[number]], marker=marker, linewidths=0, alpha=0.8
                )
        axes.set_title(counted_title(depth, f"n = {len(found.label)}", 2.6), fontsize=9)
        axes.set_xlabel(_label(1, found.shares[0]), fontsize=8)
        axes.set_ylabel(_label(2, found.shares[1]), fontsize=8)
        axes.tick_params(labelsize=7)
    handles = [
        Line2D([], [], linestyle="", marker=CLASS_MARKERS[k % len(CLASS_MARKERS)], color=colour, label=name)
        for k, (colour, name) in enumerate(zip(colours, (first_name(classes[c], 18) for c in chosen), strict=True))
    ]
    if len(chosen) < len(classes):
        handles.append(Line2D([], [], linestyle="", marker="o", color="0.75", label="other classes"))
    sheet.legend(handles)
    return sheet.figure


def _size(codes: int) -> float:
    """Area of a marker in square points, for as many of them."""
    return float(np.clip(4000 / max(1, codes), 6, 26))


def _label(number: int, share: float) -> str:
    return f"PC{number}" if np.isnan(share) else f"PC{number} ({share:.0%} of the variance)"

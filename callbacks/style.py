"""How pictures look: one colour a depth everywhere, safe for colour-blind readers; one colour a class, one a run."""

import colorsys
from collections.abc import Sequence

import matplotlib
import numpy as np

from codes.pixels import PIXEL_DEPTH

matplotlib.use("Agg")  # figures go to files and TensorBoard, never to a screen

__all__ = ["CLASS_MARKERS", "DENSITY", "DIVERGING", "class_colours", "depth_colours", "run_styles"]

DENSITY = "viridis"
DIVERGING = "PuOr_r"
# The paper's order of blue, orange, green, red (its Fig. 3) in the shades of Okabe and Ito (2008), then their others.
_DEPTHS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
_PIXELS = "#7A4B26"
# "Muted" and "bright" of Paul Tol, Colour schemes (SRON/EPS/TN/09-002, 2021), which colour-blind readers tell apart.
_CLASSES = ("#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499")
_RUNS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377")
_RUN_MARKERS = "os^Dvp*"  # 7, so that 42 runs differ
CLASS_MARKERS = "os^Dvp<>h"  # as many as there are safe colours


def depth_colours(depths: Sequence[str]) -> dict[str, str]:
    """One colour a depth, by its position among those of the network; raw pixels are brown, and move no other.

    >>> depth_colours(["CL0", "CL1"])
    {'CL0': '#7A4B26', 'CL1': '#0072B2'}
    """
    network = [depth for depth in depths if depth != PIXEL_DEPTH]
    colours = {depth: _DEPTHS[index % len(_DEPTHS)] for index, depth in enumerate(network)}
    return {depth: colours.get(depth, _PIXELS) for depth in depths}


def run_styles(runs: Sequence[str]) -> dict[str, tuple[str, str]]:
    """One colour and one marker a run, by its position; 42 runs differ."""
    return {run: (_RUNS[index % len(_RUNS)], _RUN_MARKERS[index % len(_RUN_MARKERS)]) for index, run in enumerate(runs)}


def class_colours(classes: int) -> np.ndarray:
    """(classes, 3) colours in [0, 1]: up to 9 are safe for colour-blind readers, more are hues by the golden ratio.

    Those hues stay apart best for any number; in three lightnesses in turn, since near hues are 5, 8 or 13 classes
    apart, no multiples of 3.
    """
    if classes <= len(_CLASSES):
        return np.array([matplotlib.colors.to_rgb(colour) for colour in _CLASSES[:classes]]).reshape(-1, 3)
    hues = (np.arange(classes) * 0.618034) % 1
    return np.array([colorsys.hsv_to_rgb(hue, 0.75, (0.97, 0.75, 0.5)[k % 3]) for k, hue in enumerate(hues)])

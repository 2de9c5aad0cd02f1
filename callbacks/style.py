"""How pictures look: one colour a depth everywhere, safe for colour-blind readers; one colour a class."""

import colorsys
from collections.abc import Sequence

import matplotlib
import numpy as np

matplotlib.use("Agg")  # figures go to files and TensorBoard, never to a screen

__all__ = ["DENSITY", "class_colours", "depth_colours"]

DENSITY = "viridis"
# The paper's order of blue, orange, green, red (its Fig. 3) in the shades of Okabe and Ito (2008), then their others.
_DEPTHS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")


def depth_colours(depths: Sequence[str]) -> dict[str, str]:
    """One colour a depth, by its position."""
    return {depth: _DEPTHS[index % len(_DEPTHS)] for index, depth in enumerate(depths)}


def class_colours(classes: int) -> np.ndarray:
    """(classes, 3) colours in [0, 1]: hues by the golden ratio, so that any number of classes stays apart best.

    Three lightnesses in turn: near hues are 5, 8 or 13 classes apart, no multiples of 3.
    """
    hues = (np.arange(classes) * 0.618034) % 1
    return np.array([colorsys.hsv_to_rgb(hue, 0.75, (0.97, 0.75, 0.5)[k % 3]) for k, hue in enumerate(hues)])

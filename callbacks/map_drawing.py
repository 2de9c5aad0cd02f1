"""Maps as pixel-exact pictures, for TensorBoard. Their ranges of colours are fixed, so that steps and depths compare.

Hits are BMU counts; rows of the lattice run downwards. On a torus the left edge continues at the right, the top at the
bottom.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from callbacks.figures.layout import first_name
from callbacks.style import DENSITY, class_colours

__all__ = ["DENSEST", "UNIT", "class_shades", "class_sheet", "density_image", "region_image"]

UNIT = 12  # pixels a unit
GAP = 6  # pixels between the maps of a sheet
LABEL = 16  # pixels for a name over a map
ABREAST = 4  # maps side by side
DENSEST = 10  # times an even spread: the brightest colour of a density
GAMMA = 0.4  # of a class's shares: one image of hundreds is seen, and a class on one unit stands out


def density_image(hits: np.ndarray) -> np.ndarray:
    """Density of the BMUs in colour, from none (dark) to 10 times an even spread, or more (bright).

    Args:
        hits: (rows, cols) counts.

    Returns:
        (rows * 12, cols * 12, 3) uint8.
    """
    even = max(1, hits.sum()) / hits.size
    return _enlarge(matplotlib.colormaps[DENSITY](hits / (DENSEST * even))[..., :3])


def region_image(hits: np.ndarray) -> np.ndarray:
    """Each unit in the colour of its most frequent class, paler where other classes share it; white where none hit.

    Args:
        hits: (classes, rows, cols) counts.

    Returns:
        (rows * 12, cols * 12, 3) uint8.
    """
    total = hits.sum(0)
    purity = np.where(total > 0, hits.max(0) / np.maximum(total, 1), 0)[..., None]
    colours = class_colours(len(hits))[hits.argmax(0)]
    return _enlarge(1 - purity + purity * colours)


def class_shades(hits: np.ndarray) -> np.ndarray:
    """How bright the units of one class are, from 0 (no image) to 1 (all of its images): its share to the power 0.4.

    Args:
        hits: (rows, cols) counts.
    """
    return (hits / max(1, hits.sum())) ** GAMMA


def class_sheet(hits: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Where each class's images land under its name, up to 4 side by side; see :func:`class_shades`.

    Args:
        hits: (classes, rows, cols) counts of the classes to show.
        names: their names; what does not fit over a map is cut off.

    Returns:
        (lines * (16 + rows * 12), width, 3) uint8, white beside the last map.
    """
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 11)
    images = []
    for each, name in zip(hits, names, strict=True):
        tile = _enlarge(matplotlib.colormaps[DENSITY](class_shades(each))[..., :3])
        label = Image.new("RGB", (tile.shape[1], LABEL), "white")
        ImageDraw.Draw(label).text((1, 1), first_name(name, 40), "black", font)
        images.append(np.concatenate([np.asarray(label), tile]))
    height, width = images[0].shape[:2]
    abreast = min(ABREAST, len(images))
    lines = -(-len(images) // abreast)
    sheet = np.full((lines * height, abreast * (width + GAP) - GAP, 3), 255, np.uint8)
    for number, image in enumerate(images):
        line, column = divmod(number, abreast)
        sheet[line * height : (line + 1) * height, column * (width + GAP) :][:, :width] = image
    return sheet


def _enlarge(colours: np.ndarray) -> np.ndarray:
    """(rows, cols, 3) in [0, 1] to uint8 with square blocks of pixels."""
    return np.rint(255 * colours).astype(np.uint8).repeat(UNIT, 0).repeat(UNIT, 1)

"""Words around a pixel-exact picture, so that it explains itself: a title above, what its colours mean below."""

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from callbacks.figures.layout import first_name
from callbacks.style import DENSITY

__all__ = ["captioned"]

WIDTH = 420  # pixels, about those of a card of TensorBoard
LINE = 18  # pixels a line of text
SIZE = 13  # of the letters
LETTER = 7.4  # pixels, on average
BAR = 12  # pixels of the height of a bar or a patch of colour
MARGIN = 4


def captioned(
    picture: np.ndarray,
    title: str,
    note: str,
    *,
    ends: tuple[str, str] | None = None,
    keys: Sequence[tuple[str, np.ndarray]] = (),
) -> np.ndarray:
    """Enlarge a picture by a whole number to at least 420 pixels, and put words above and below it.

    Args:
        picture: (H, W, 3) uint8.
        title: above it, in as many lines as it takes.
        note: below it, likewise.
        ends: what the lower and the upper end of the colours of a density mean, where the picture has those.
        keys: names and colours (3,) in [0, 1], for a legend in two columns.

    Returns:
        (H', W', 3) uint8, white around the picture, which begins below the title at the left.
    """
    times = -(-WIDTH // picture.shape[1])
    picture = picture.repeat(times, 0).repeat(times, 1)
    above, below = (textwrap.wrap(text, int(picture.shape[1] / LETTER)) for text in (title, note))
    top = LINE * len(above) + MARGIN
    foot = top + len(picture) + MARGIN
    patches = foot + LINE * len(below) + (BAR + LINE + MARGIN if ends else 0)
    sheet = Image.new("RGB", (picture.shape[1], patches + LINE * -(-len(keys) // 2)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", SIZE)
    draw.text((1, 0), "\n".join(above), "black", font, spacing=LINE - SIZE - 2)
    sheet.paste(Image.fromarray(picture), (0, top))
    draw.text((1, foot), "\n".join(below), "black", font, spacing=LINE - SIZE - 2)
    if ends:
        start = foot + LINE * len(below) + MARGIN
        colours = matplotlib.colormaps[DENSITY](np.linspace(0, 1, sheet.width))[None, :, :3]
        sheet.paste(Image.fromarray(np.rint(255 * colours).astype(np.uint8).repeat(BAR, 0)), (0, start))
        draw.text((1, start + BAR), ends[0], "black", font)
        draw.text((sheet.width - 1, start + BAR), ends[1], "black", font, anchor="ra")
    for number, (name, colour) in enumerate(keys):
        left, high = number % 2 * sheet.width // 2, patches + LINE * (number // 2)
        draw.rectangle((left + 1, high + 2, left + BAR, high + BAR + 1), tuple(np.rint(255 * colour).astype(int)))
        draw.text((left + BAR + 6, high), first_name(name, 22), "black", font)
    return np.asarray(sheet)

"""Small pictures of single images of a split, decoded again for the few that are shown."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from torchvision.transforms.v2 import functional

__all__ = ["thumbnails"]


def thumbnails(dataset: Any, ids: Iterable[int], side: int) -> dict[int, np.ndarray]:
    """Decode images by id, as the maps saw them, and shrink them.

    Args:
        dataset: a split's dataset, whose samples are {"image": (3, S, S) uint8, ...}.
        ids: which of its samples.
        side: of a picture, in pixels.

    Returns:
        (side, side, 3) uint8 by id. Images that cannot be read any more are left out, with one warning.
    """
    samples = getattr(dataset, "samples", None)
    if samples is None:  # codes from a store: no images to show
        return {}
    # Views of a photograph are numbered by position, other samples by the ids of their source.
    places = None if hasattr(dataset, "views") else {number: place for place, number in enumerate(samples.ids.tolist())}
    found, lost = {}, []
    for number in ids:
        try:
            image = dataset[number if places is None else places[number]]["image"]
        except OSError:
            lost.append(number)
            continue
        found[number] = functional.resize(image, [side, side], antialias=True).permute(1, 2, 0).numpy()
    if lost:
        warnings.warn(
            f"pictures leave out {len(lost)} images that cannot be read any more, id {lost[0]} first", stacklevel=2
        )
    return found

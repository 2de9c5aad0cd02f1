"""TensorBoard's embedding projector: the prototypes of each map, with the nearest image of each as its sprite."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from measures import principal_coordinates

__all__ = ["add_prototypes"]

COMPONENTS = 50  # leading directions that are written: prototypes of 10,240 dimensions would take 150 MB of text
SIDE = 32  # pixels of a sprite
MOST = 8192 // SIDE  # sprites along a side that TensorBoard can show
HEADER = ["unit", "row", "col", "images", "class", "purity"]


def add_prototypes(
    writer: Any,
    tag: str,
    prototypes: Tensor,
    hits: np.ndarray,
    classes: Sequence[str],
    nearest: np.ndarray,
    sprites: Mapping[int, np.ndarray],
    step: int,
) -> None:
    """Write one map's prototypes on their 50 leading principal directions.

    Args:
        writer: a SummaryWriter.
        tag: of the embedding.
        prototypes: (K, D), in the space of the map.
        hits: (classes, rows, cols) counts.
        classes: class names, in label order.
        nearest: (K,) id of the image nearest to each unit; -1 for none.
        sprites: (S, S, 3) uint8 by id; units without one are grey, and no sprites are written if there are none.
        step: the global step.
    """
    units = torch.nan_to_num(prototypes.detach().cpu().float(), nan=0, posinf=0, neginf=0)
    scores = principal_coordinates(units, min(COMPONENTS, *units.shape))
    cols = hits.shape[2]
    counts = hits.reshape(len(hits), -1)
    metadata = []
    for unit, column in enumerate(counts.T):
        total = int(column.sum())
        name = classes[int(column.argmax())].replace("\t", " ").replace("\n", " ") if total else "no image"
        purity = f"{column.max() / total:.2f}" if total else ""
        metadata.append([str(unit), str(unit // cols), str(unit % cols), str(total), name, purity])
    images = None
    if sprites and len(units) <= MOST**2:
        grey = np.full((SIDE, SIDE, 3), 225, np.uint8)
        tiles = np.stack([_shrunk(sprites.get(int(number), grey)) for number in nearest])
        images = torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255
    writer.add_embedding(scores, metadata, images, step, tag, HEADER)


def _shrunk(picture: np.ndarray) -> np.ndarray:
    """A picture whose side is a multiple of a sprite's, at a sprite's size."""
    block = len(picture) // SIDE
    return picture.reshape(SIDE, block, SIDE, block, 3).mean((1, 3)).astype(np.uint8) if block > 1 else picture

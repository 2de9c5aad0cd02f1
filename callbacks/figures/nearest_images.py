"""A map of images: at each unit the image that lies nearest to its prototype, of those that land there."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from callbacks.figures.layout import Sheet, tail

__all__ = ["Nearest", "mosaic", "nearest_ids", "nearest_images_figure"]

TILES = 400  # of a map, at most: larger lattices show one image a block of units
EMPTY = 225  # grey level of units where no image lands


class Nearest(NamedTuple):
    """Which image stands for each tile of a map.

    Attributes:
        ids: (tile rows, tile columns) int64; -1 where no image lands.
        block: units along a tile's side.
    """

    ids: np.ndarray
    block: int


def nearest_ids(
    row: np.ndarray, col: np.ndarray, distance: np.ndarray, id: np.ndarray, rows: int, cols: int
) -> Nearest:
    """Find for each tile the image of least distance to its BMU; a tile is a unit, or a block of them on large maps.

    Args:
        row: (N,) rows of the BMUs.
        col: (N,) columns.
        distance: (N,) distances to the BMU; images whose distance is not finite are left out.
        id: (N,) ids of the images.
        rows: rows of the lattice.
        cols: columns of the lattice.

    Returns:
        At most 400 tiles.
    """
    block = 1
    while -(-rows // block) * -(-cols // block) > TILES:
        block += 1
    ids = np.full((-(-rows // block), -(-cols // block)), -1, np.int64)
    order = np.lexsort((-id, -distance))  # the nearest last, of several the first id, so that it stays
    order = order[np.isfinite(distance[order])]
    ids[row[order] // block, col[order] // block] = id[order]
    return Nearest(ids, block)


def mosaic(ids: np.ndarray, thumbnails: Mapping[int, np.ndarray]) -> np.ndarray:
    """Lay thumbnails out as their tiles lie on the map; grey where there is none.

    Args:
        ids: (tile rows, tile columns), -1 for no image.
        thumbnails: (S, S, 3) uint8 by id, all of one size; those that are missing stay grey.

    Returns:
        (tile rows * S, tile columns * S, 3) uint8.
    """
    side = next((len(each) for each in thumbnails.values()), 1)
    picture = np.full((*ids.shape, side, side, 3), EMPTY, np.uint8)
    for place in zip(*np.nonzero(ids >= 0), strict=True):
        if (thumbnail := thumbnails.get(int(ids[place]))) is not None:
            picture[place] = thumbnail
    return picture.transpose(0, 2, 1, 3, 4).reshape(ids.shape[0] * side, ids.shape[1] * side, 3)


def nearest_images_figure(picture: np.ndarray, nearest: Nearest, depth: str, images: int) -> Figure:
    """The mosaic of one depth with the lattice's rows and columns.

    Args:
        picture: of :func:`mosaic`.
        nearest: what it shows.
        depth: name of the depth.
        images: n, of which these are the nearest.
    """
    tiles, block = nearest.ids.shape, nearest.block
    width = float(np.clip(0.45 * tiles[1], 2, 11))
    height = float(np.clip(width * tiles[0] / tiles[1], 1, 16))
    shown = int((nearest.ids >= 0).sum())
    where = "unit" if block == 1 else f"block of {block} x {block} units"
    title = f"{tail(depth, 30)}: the nearest of {images} images at each {where} ({shown} of {nearest.ids.size} hit)"
    sheet = Sheet([width], [height], title, margins=(0.75, 0.5, 0.1))
    (axes,) = sheet.panels.flat
    edges = (-0.5, tiles[1] * block - 0.5, tiles[0] * block - 0.5, -0.5)
    axes.imshow(picture, extent=edges, interpolation="antialiased", aspect="auto")
    axes.set_xlabel("column", fontsize=8)
    axes.set_ylabel("row", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.locator_params(integer=True, nbins=8)
    return sheet.figure

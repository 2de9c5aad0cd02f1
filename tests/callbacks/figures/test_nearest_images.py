import numpy as np
import pytest

from callbacks.figures.nearest_images import mosaic, nearest_ids, nearest_images_figure
from tests.callbacks.laid_out import LONG, assert_laid_out


def brute_force(row, col, distance, number, rows, cols):
    ids = np.full((rows, cols), -1)
    for r in range(rows):
        for c in range(cols):
            here = [(d, i) for y, x, d, i in zip(row, col, distance, number, strict=True) if (y, x) == (r, c)]
            if here:
                ids[r, c] = min(here)[1]
    return ids


def test_the_nearest_of_those_that_land_at_a_unit():
    rng = np.random.default_rng(0)
    row, col = rng.integers(0, 3, 40), rng.integers(0, 5, 40)
    distance = rng.integers(0, 4, 40).astype(np.float32)  # with ties: the first id
    number = rng.permutation(100)[:40]
    found = nearest_ids(row, col, distance, number, 3, 5)
    assert found.block == 1
    np.testing.assert_array_equal(found.ids, brute_force(row, col, distance, number, 3, 5))


def test_large_maps_show_blocks_of_units():
    found = nearest_ids(
        np.array([0, 1, 39]), np.array([1, 0, 40]), np.array([2.0, 1.0, 3.0]), np.array([7, 8, 9]), 40, 41
    )
    assert found.block == 3
    assert found.ids.shape == (14, 14)
    assert found.ids[0, 0] == 8, "the nearer of the two in the block"
    assert found.ids[13, 13] == 9
    assert (found.ids >= 0).sum() == 2


def test_images_without_a_distance_are_left_out():
    found = nearest_ids(np.array([0, 0]), np.array([0, 1]), np.array([np.nan, 1.0]), np.array([5, 6]), 1, 2)
    assert found.ids.tolist() == [[-1, 6]]
    empty = np.array([], int)
    assert (nearest_ids(empty, empty, empty.astype(float), empty, 2, 3).ids == -1).all()


def test_thumbnails_lie_as_their_tiles_do():
    red, blue = (np.full((2, 2, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    picture = mosaic(np.array([[-1, 4, 9], [7, -1, 4]]), {4: red, 7: blue})
    assert picture.shape == (4, 6, 3)
    assert (picture[:2, 2:4] == (255, 0, 0)).all()
    assert (picture[2:, 4:] == (255, 0, 0)).all()
    assert (picture[2:, :2] == (0, 0, 255)).all()
    assert (picture[:2, :2] == 225).all()
    assert (picture[:2, 4:] == 225).all(), "an image that is missing stays grey"


@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (40, 3), (2, 50), (60, 60)])
def test_figure(shape):
    rng = np.random.default_rng(0)
    row, col = rng.integers(0, shape[0], 30), rng.integers(0, shape[1], 30)
    found = nearest_ids(row, col, rng.random(30), np.arange(30), *shape)
    pictures = {k: rng.integers(0, 255, (8, 8, 3), dtype=np.uint8) for k in range(30)}
    figure = nearest_images_figure(mosaic(found.ids, pictures), found, LONG, 30)
    assert_laid_out(figure)
    title = figure._suptitle.get_text().replace("\n", " ")
    assert "nearest of 30 images" in title
    assert (f"block of {found.block} x {found.block} units" in title) == (found.block > 1)
    (axes,) = figure.axes
    assert axes.get_xlim()[1] == found.ids.shape[1] * found.block - 0.5

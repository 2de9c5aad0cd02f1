import matplotlib
import numpy as np

from callbacks.map_drawing import class_shades, class_sheet, density_image, region_image
from callbacks.style import class_colours
from tests.callbacks.laid_out import table

VIRIDIS = matplotlib.colormaps["viridis"]
DARK, BRIGHT = (tuple(round(255 * c) for c in VIRIDIS(share)[:3]) for share in (0.0, 1.0))
WHITE = (255, 255, 255)


def unit(image: np.ndarray, row: int, col: int) -> tuple[int, ...]:
    """The one colour of a unit's 12 x 12 block."""
    block = image[12 * row : 12 * row + 12, 12 * col : 12 * col + 12].reshape(-1, 3)
    assert len(block) == 144
    assert (block == block[0]).all()
    return tuple(block[0].tolist())


def test_density_of_known_units():
    image = density_image(table((0, 1, 2, 11), (0, 2, 0, 1))[0])
    assert image.shape == (36, 48, 3)
    assert image.dtype == np.uint8
    assert unit(image, 1, 2) == BRIGHT, "11 times an even spread of 12 images on 12 units"
    assert unit(image, 2, 0) == tuple(round(255 * c) for c in VIRIDIS(0.1)[:3])
    assert all(unit(image, r, c) == DARK for r in range(3) for c in range(4) if (r, c) not in ((1, 2), (2, 0)))


def test_density_of_an_empty_map():
    image = density_image(np.zeros((3, 4), np.int64))
    assert image.shape == (36, 48, 3)
    assert (image.reshape(-1, 3) == DARK).all()


def test_regions_of_known_units():
    image = region_image(table((0, 0, 3, 5), (2, 2, 1, 3), (1, 2, 1, 1), (1, 1, 0, 2)))
    assert image.shape == (36, 48, 3)
    assert image.dtype == np.uint8
    colours = class_colours(3)
    assert unit(image, 0, 3) == tuple(np.rint(255 * colours[0]).astype(int))
    assert unit(image, 1, 0) == tuple(np.rint(255 * colours[1]).astype(int))
    assert unit(image, 2, 1) == tuple(np.rint(255 * (0.25 + 0.75 * colours[2])).astype(int)), "3 of 4 images: paler"
    assert unit(image, 0, 0) == unit(image, 2, 3) == WHITE


def test_regions_of_empty_and_one_class_tables():
    assert (region_image(table()) == 255).all()
    image = region_image(table((0, 1, 3, 7), classes=1))
    assert unit(image, 1, 3) == tuple(np.rint(255 * class_colours(1)[0]).astype(int))


def test_sheet_of_two_classes():
    image = class_sheet(table((0, 0, 1, 4), (1, 2, 3, 9), (1, 0, 0, 9), classes=2), ["ant", "a class with a long name"])
    assert image.shape == (16 + 36, 2 * 48 + 6, 3)
    assert image.dtype == np.uint8
    names, image = image[:16], image[16:]
    assert (names[:, 48:54] == 255).all(), "a long name is cut off at its map"
    dark = [int((part < 128).sum()) for part in (names[:, :48], names[:, 54:])]
    assert 0 < dark[0] < dark[1], "each name stands over its own map"
    first, gap, second = image[:, :48], image[:, 48:54], image[:, 54:]
    assert unit(first, 0, 1) == BRIGHT
    assert unit(first, 2, 3) == DARK
    assert (gap == 255).all()
    half = tuple(round(255 * c) for c in VIRIDIS(0.5**0.4)[:3])
    assert unit(second, 2, 3) == unit(second, 0, 0) == half, "half of the class each"
    assert class_sheet(table((0, 0, 0, 1), classes=1), ["ant"]).shape == (52, 48, 3)


def test_a_sheet_has_four_classes_a_line():
    hits = table(*((label, label % 3, label % 4, 1) for label in range(6)), classes=6)
    image = class_sheet(hits, list("abcdef"))
    assert image.shape == (2 * (16 + 36), 4 * 48 + 3 * 6, 3)
    for label in range(6):
        line, column = divmod(label, 4)
        map_ = image[52 * line + 16 :, 54 * column :][:36, :48]
        assert unit(map_, label % 3, label % 4) == BRIGHT
        assert unit(map_, (label + 1) % 3, label % 4) == DARK
    assert (image[52:, 2 * 54 :] == 255).all(), "white where there is no class"


def test_shades_of_a_class_do_not_depend_on_the_other_units():
    np.testing.assert_allclose(class_shades(np.array([[1, 0, 3]])), [[0.25**0.4, 0, 0.75**0.4]])
    assert (class_shades(np.zeros((3, 4), int)) == 0).all()

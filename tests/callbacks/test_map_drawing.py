import io

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from callbacks.map_drawing import (
    class_strip,
    density_image,
    maps_figure,
    occupied_classes,
    region_image,
    strip_figure,
)
from callbacks.style import class_colours

VIRIDIS = matplotlib.colormaps["viridis"]
DARK, BRIGHT = (tuple(round(255 * c) for c in VIRIDIS(share)[:3]) for share in (0.0, 1.0))
WHITE = (255, 255, 255)


def unit(image: np.ndarray, row: int, col: int) -> tuple[int, ...]:
    """The one colour of a unit's 12 x 12 block."""
    block = image[12 * row : 12 * row + 12, 12 * col : 12 * col + 12].reshape(-1, 3)
    assert len(block) == 144
    assert (block == block[0]).all()
    return tuple(block[0].tolist())


def table(*counts: tuple[int, int, int, int], classes: int = 3, rows: int = 3, cols: int = 4) -> np.ndarray:
    hits = np.zeros((classes, rows, cols), np.int64)
    for label, row, col, count in counts:
        hits[label, row, col] = count
    return hits


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def assert_laid_out(figure: Figure) -> None:
    """Nothing is blank, no text leaves the figure, no title covers another."""
    image = pixels(figure)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 5
    texts = [figure._suptitle] if figure._suptitle else []
    panels = [axes.get_tightbbox() for axes in figure.axes]
    for legend in figure.legends:
        texts += legend.get_texts()
        assert not any(legend.get_window_extent().overlaps(panel) for panel in panels), "a legend outside the panels"
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
    for text in (text for text in texts if text.get_text()):
        box = text.get_window_extent()
        assert figure.bbox.x0 - 1 <= box.x0, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert figure.bbox.y0 - 1 <= box.y0, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    titles = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    for index, box in enumerate(titles):
        assert not any(box.overlaps(other) for other in titles[:index])


def test_density_of_known_units():
    image = density_image(table((0, 1, 2, 8), (0, 2, 0, 2))[0])
    assert image.shape == (36, 48, 3)
    assert image.dtype == np.uint8
    assert unit(image, 1, 2) == BRIGHT
    assert unit(image, 2, 0) == tuple(round(255 * c) for c in VIRIDIS(0.25)[:3])
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


def test_strip_of_two_classes():
    image = class_strip(table((0, 0, 1, 4), (1, 2, 3, 9), (1, 0, 0, 9), classes=2), ["ant", "a class with a long name"])
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
    assert unit(second, 2, 3) == unit(second, 0, 0) == BRIGHT
    assert class_strip(table((0, 0, 0, 1), classes=1), ["ant"]).shape == (52, 48, 3)


def test_occupied_classes():
    hits = table((1, 0, 0, 1), *((k, 2, 3, 1) for k in range(4, 14)), classes=20)
    assert occupied_classes(hits) == [1, 4, 5, 6, 7, 8, 9, 10], "the first 8 in label order"
    assert occupied_classes(table()) == []


def test_maps_figure_shows_the_tables():
    hits = {
        "CL1": table((0, 0, 3, 3), (1, 1, 1, 1)),
        "CL2": table((2, 2, 0, 2), (1, 2, 0, 2)),
        "CL3": table((0, 1, 2, 1)),
    }
    figure = maps_figure(hits, ["ant", "bee, apis", "cat"])
    assert_laid_out(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ant", "bee", "cat"]
    shown = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    np.testing.assert_allclose(shown, class_colours(3))
    assert "colour = majority class, 3 classes; pale = mixed; white = no image" in figure._suptitle.get_text()
    panels = np.array(figure.axes[:6]).reshape(2, 3)
    for (above, below), (depth, each) in zip(panels.T, hits.items(), strict=True):
        assert above.get_title() == f"{depth}\nn = {each.sum()}"
        (density,), (regions,) = above.images, below.images
        np.testing.assert_allclose(density.get_array(), 100 * each.sum(0) / each.sum())
        assert density.get_clim() == (0, 100), "one scale for all depths"
        assert np.array_equal(regions.get_array(), region_image(each)[::12, ::12])
        assert density.get_array().shape == regions.get_array().shape[:2] == (3, 4)
        assert above.get_position().x0 == pytest.approx(below.get_position().x0, abs=1e-3), "the rows are aligned"
        assert above.get_position().width == pytest.approx(below.get_position().width, abs=1e-3)


def test_more_classes_than_a_legend_lists():
    (legend,) = maps_figure({"CL1": table((0, 0, 0, 1), classes=20)}, ["a"] * 20).legends
    assert len(legend.get_texts()) == 20
    figure = maps_figure({"CL1": table((0, 0, 0, 1), classes=21)}, ["a"] * 21)
    assert not figure.legends
    assert "21 classes" in figure._suptitle.get_text().replace("\n", " ")


def test_strip_figure_shows_the_classes():
    names = ["ant", "great white shark, white shark, man-eater", "cat"]
    hits = {"CL1": table((1, 0, 3, 3), (2, 1, 1, 1)), "CL2": table((1, 2, 0, 3), (2, 0, 0, 1))}
    figure = strip_figure(hits, names)
    assert_laid_out(figure)
    *panels, scale = figure.axes
    panels = np.array(panels).reshape(2, 2)
    assert "2 of 3 classes" in figure._suptitle.get_text().replace("\n", " ")
    assert (scale.get_ylim(), scale.get_ylabel()) == ((0, 1), "count / the panel's largest")
    assert [axes.get_title() for axes in panels[0]] == ["great white sha…\nn = 3", "cat\nn = 1"]
    assert [row[0].get_ylabel() for row in panels] == ["CL1\nrow", "CL2\nrow"]
    assert [axes.get_xlabel() for axes in panels[-1]] == ["column", "column"]
    assert len(panels[0, 0].get_yticks()) > 1
    assert len(panels[-1, 0].get_xticks()) > 1
    for row, each in zip(panels, hits.values(), strict=True):
        for axes, label in zip(row, (1, 2), strict=True):
            (image,) = axes.images
            np.testing.assert_allclose(image.get_array(), each[label] / each[label].max())
            assert image.get_clim() == (0, 1)


LONG = "features.denseblock3.denselayer12.conv2"


@pytest.mark.parametrize(
    ("depths", "shape", "classes"),
    [
        (("CL1",), (3, 4), 0),
        ((LONG,), (2, 20), 1),
        (("CL1",), (12, 5), 9),
        ((LONG, LONG + ".0"), (3, 4), 2),
        (("CL1", "CL2", "CL3", "CL4"), (10, 12), 20),
    ],
)
def test_layout_whatever_is_shown(depths, shape, classes):
    rng = np.random.default_rng(0)
    hits = {depth: rng.integers(0, 3, (max(1, classes), *shape)) * (classes > 0) for depth in depths}
    names = ["a class with a long name, and another"] * max(1, classes)
    assert_laid_out(maps_figure(hits, names))
    assert_laid_out(strip_figure(hits, names))


def test_figures_are_written():
    buffer = io.BytesIO()
    maps_figure({"CL1": table((0, 0, 0, 1))}, ["ant", "bee", "cat"]).savefig(buffer, format="pdf")
    assert buffer.getvalue().startswith(b"%PDF")

import io

import numpy as np
import pytest

from callbacks.figures.maps import density_figure, maps_figure
from callbacks.map_drawing import region_image
from callbacks.style import class_colours
from tests.callbacks.laid_out import NAMES, TABLES, assert_laid_out, table


def test_maps_show_the_tables():
    hits = {
        "CL1": table((0, 0, 3, 3), (1, 1, 1, 1)),
        "CL2": table((2, 2, 0, 2), (1, 2, 0, 2)),
        "CL3": table((0, 1, 2, 1)),
    }
    figure = maps_figure(hits, ["ant", "bee, apis", "cat"])
    assert_laid_out(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ant", "bee", "cat"]
    np.testing.assert_allclose([patch.get_facecolor()[:3] for patch in legend.get_patches()], class_colours(3))
    title = figure._suptitle.get_text().replace("\n", " ")
    assert "colour = majority class, 3 classes; pale = mixed; white = no image" in title
    panels = np.array(figure.axes[:6]).reshape(2, 3)
    for (above, below), (depth, each) in zip(panels.T, hits.items(), strict=True):
        assert above.get_title() == f"{depth}, n = {each.sum()}"
        (density,), (regions,) = above.images, below.images
        np.testing.assert_allclose(density.get_array(), 100 * each.sum(0) / each.sum())
        assert density.get_clim() == (0, 1000 / 12), "10 times an even spread, whatever the data"
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


def test_density_of_several_runs():
    grid = {
        "resnet18": {"CL1": table((0, 0, 3, 3))[0], "CL2": table((0, 1, 1, 3))[0]},
        "vgg19": {
            "CL1": table((0, 0, 0, 1), rows=5, cols=2)[0],
            "CL2": table((0, 0, 0, 1), (0, 4, 1, 3), rows=5, cols=2)[0],
        },
    }
    figure = density_figure(grid, scale=1, warning="the runs differ in model.rows: 3 and 5")
    assert_laid_out(figure)
    panels = np.array(figure.axes[:4]).reshape(2, 2)
    assert [axes.get_title() for axes in panels[1]] == ["CL1, n = 1", "CL2, n = 4"]
    (image,) = panels[1, 1].images
    np.testing.assert_allclose(image.get_array(), grid["vgg19"]["CL2"] / 4)
    assert {axes.images[0].get_clim() for axes in panels.flat} == {(0, 1)}
    title = figure._suptitle.get_text()
    assert "WARNING: the runs differ in model.rows: 3 and 5" in title.replace("\n", " ")
    assert "x 1" not in title
    assert "x 100" in density_figure(grid)._suptitle.get_text()


@pytest.mark.parametrize("hits", TABLES.values(), ids=TABLES.keys())
def test_whatever_is_shown(hits):
    classes = len(next(iter(hits.values())))
    assert_laid_out(maps_figure(hits, NAMES[:classes]))


def test_a_figure_can_be_written_as_pdf():
    buffer = io.BytesIO()
    maps_figure({"CL1": table((0, 0, 0, 1))}, ["ant", "bee", "cat"]).savefig(buffer, format="pdf")
    assert buffer.getvalue().startswith(b"%PDF")

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from callbacks.figures.code_pca import Projection, code_pca_figure
from callbacks.style import class_colours
from tests.callbacks.laid_out import LONG, NAMES, assert_laid_out


def projection(samples: int, classes: int, seed: int = 0) -> Projection:
    rng = np.random.default_rng(seed)
    return Projection(rng.normal(size=(samples, 2)), np.arange(samples) % classes, np.array([0.314, 0.05]))


def test_each_image_in_the_colour_of_its_class():
    found = projection(60, 3)
    figure = code_pca_figure({"CL1": found, "CL2": projection(60, 3, 1)}, ["ant", "bee", "cat"], [0, 2])
    assert_laid_out(figure)
    axes = figure.axes[0]
    assert axes.get_title() == "CL1, n = 60"
    assert axes.get_xlabel() == "PC1 (31% of the variance)"
    assert axes.get_ylabel() == "PC2 (5% of the variance)"
    colours = {
        tuple(np.round(c, 3)): label for c, label in zip([*class_colours(2), to_rgb("0.75")], [0, 2, 1], strict=True)
    }
    seen: dict[int, set] = {0: set(), 1: set(), 2: set()}
    for drawn in axes.collections:
        label = colours[tuple(np.round(drawn.get_facecolor()[0, :3], 3))]
        seen[label] |= {tuple(place) for place in np.round(drawn.get_offsets(), 6).tolist()}
    for label, places in seen.items():
        assert places == {tuple(place) for place in np.round(found.scores[found.label == label], 6).tolist()}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ant", "cat", "other classes"]


@pytest.mark.parametrize(("samples", "classes"), [(1, 1), (2, 2), (1000, 1000), (500, 10)])
def test_any_number_of_images_and_classes(samples, classes):
    chosen = list(range(min(8, classes)))
    depths = ("CL1", LONG, "CL3", "CL4", "CL5", "CL6")
    assert_laid_out(code_pca_figure(dict.fromkeys(depths, projection(samples, classes)), NAMES[:classes], chosen))


def test_shares_that_are_unknown():
    unknown = projection(5, 2)._replace(shares=np.array([np.nan, np.nan]))
    (axes,) = code_pca_figure({"CL1": unknown}, ["ant", "bee"], [0, 1]).axes
    assert axes.get_xlabel() == "PC1"

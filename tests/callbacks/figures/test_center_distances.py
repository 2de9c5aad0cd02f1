import numpy as np
import pytest

from callbacks.figures.center_distances import center_distances_figure, clustered_order
from tests.callbacks.laid_out import NAMES, TABLES, assert_laid_out, table


def test_near_classes_follow_one_another():
    place = np.array([0.0, 10.0, 1.0, 11.0, 0.5])
    order = clustered_order(np.abs(place[:, None] - place))
    assert set(order[:3].tolist()) in ({0, 2, 4}, {1, 3, order[2]})
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert clustered_order(np.zeros((2, 2))).tolist() == [0, 1]
    assert sorted(clustered_order(np.zeros((1000, 1000))).tolist()) == list(range(1000))


def test_distances_across_the_seam():
    hits = {"CL1": table((0, 0, 0, 9), (1, 0, 5, 9), (3, 3, 2, 9), classes=4, rows=6, cols=6)}
    figure = center_distances_figure(hits, "torus", ["ant", "bee", "cat", "dog"])
    assert_laid_out(figure)
    panel, scale = figure.axes
    names = [text.get_text() for text in panel.get_yticklabels()]
    assert sorted(names) == ["ant", "bee", "dog"], "the third class has no images"
    (image,) = panel.images
    distances = dict(zip(names, image.get_array(), strict=True))
    assert distances["ant"][names.index("bee")] == 1
    assert distances["ant"][names.index("dog")] == pytest.approx(np.hypot(3, 2))
    assert image.get_clim() == (0, pytest.approx(np.hypot(3, 3))), "as far as a torus of 6 x 6 goes"
    assert scale.get_ylabel() == "distance (lattice steps)"
    plane = center_distances_figure(hits, "plane", ["ant", "bee", "cat", "dog"]).axes[0].images[0]
    assert plane.get_array().max() == pytest.approx(5)
    assert plane.get_clim() == (0, pytest.approx(np.hypot(5, 5)))


def test_fewer_than_two_classes():
    assert center_distances_figure({"CL1": table((0, 0, 0, 9))}, "torus", ["ant", "bee", "cat"]) is None
    assert center_distances_figure({"CL1": table()}, "torus", ["ant", "bee", "cat"]) is None


@pytest.mark.parametrize("hits", TABLES.values(), ids=TABLES.keys())
def test_whatever_is_shown(hits):
    classes = len(next(iter(hits.values())))
    figure = center_distances_figure(hits, "torus", NAMES[:classes])
    if figure is not None:
        assert_laid_out(figure)

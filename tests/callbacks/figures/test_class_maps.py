import numpy as np
import pytest

from callbacks.figures.class_maps import bmus_by_class_figure
from callbacks.figures.layout import chosen_classes
from tests.callbacks.laid_out import NAMES, TABLES, assert_laid_out, table

CLASSES = ["ant", "great white shark, white shark, man-eater", "ant, the other"]


def test_a_class_a_column():
    tables = {"CL1": table((1, 0, 3, 3), (2, 1, 1, 1)), "CL2": table((1, 2, 0, 3), (2, 0, 0, 1))}
    figure = bmus_by_class_figure(tables, CLASSES, [1, 2])
    assert_laid_out(figure)
    *panels, scale = figure.axes
    panels = np.array(panels).reshape(2, 2)
    assert "2 of 3 classes" in figure._suptitle.get_text().replace("\n", " ")
    assert [axes.get_title() for axes in panels[0]] == ["great white sha…\nn = 3", "ant\nn = 1"]
    assert [axes.get_title() for axes in panels[1]] == ["", ""], "the same numbers are not repeated"
    assert [row[0].get_ylabel() for row in panels] == ["CL1\nrow", "CL2\nrow"]
    assert scale.get_ylabel() == "share of the class"
    assert (scale.get_ylim()[0], scale.get_ylim()[1]) == (0, 1)
    for row, each in zip(panels, tables.values(), strict=True):
        for axes, label in zip(row, (1, 2), strict=True):
            (image,) = axes.images
            np.testing.assert_allclose(image.get_array(), (each[label] / each[label].sum()) ** 0.4)
            assert image.get_clim() == (0, 1)


def test_rows_with_other_numbers_say_so():
    figure = bmus_by_class_figure(
        {"SOM-tr": table((0, 0, 3, 8)), "SOM-val": table((0, 1, 3, 3))}, CLASSES, [0], "CL1", warning="unequal n"
    )
    assert_laid_out(figure)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["ant\nn = 8", "n = 3"]
    assert "CL1" in figure._suptitle.get_text()
    assert "WARNING: unequal n" in figure._suptitle.get_text().replace("\n", " ")


def test_classes_of_one_name_keep_their_columns():
    figure = bmus_by_class_figure({"CL1": table((0, 0, 0, 1), (2, 2, 3, 1))}, CLASSES, [0, 2])
    first, second = (axes.images[0].get_array() for axes in figure.axes[:2])
    assert (first[0, 0], first[2, 3], second[0, 0], second[2, 3]) == (1, 0, 0, 1)


@pytest.mark.parametrize("hits", TABLES.values(), ids=TABLES.keys())
def test_whatever_is_shown(hits):
    first = next(iter(hits.values()))
    if chosen := chosen_classes(first.sum((1, 2))):
        assert_laid_out(bmus_by_class_figure(hits, NAMES, chosen))

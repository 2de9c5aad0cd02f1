import numpy as np
import pytest
from matplotlib.patches import Patch

from callbacks.figures.layout import LatticeSheet, Sheet, chosen_classes, first_name, tail
from tests.callbacks.laid_out import LONG, pixels


def test_chosen_classes_are_spread_over_those_with_images():
    assert chosen_classes(np.array([3, 0, 1, 2])) == [0, 2, 3]
    assert chosen_classes(np.zeros(5)) == []
    thousand = np.ones(1000)
    thousand[0] = 0
    chosen = chosen_classes(thousand)
    assert (len(chosen), chosen[0], chosen[-1]) == (8, 1, 999)
    assert np.ptp(np.diff(chosen)) <= 1, "evenly spaced"
    assert chosen_classes(np.ones(10), most=3) == [0, 4, 9]


def test_panels_have_the_shape_of_their_lattices():
    first, second = np.zeros((3, 5)), np.zeros((6, 4))
    sheet = LatticeSheet({"resnet18": {"CL1": first, "CL2": first}, "vgg19": {"CL1": second, "CL2": second}}, "title")
    panels = sheet.panels
    assert panels.shape == (2, 2)
    pixels(sheet.figure)
    for axes, (rows, cols) in zip(panels[:, 1], ((3, 5), (6, 4)), strict=True):
        assert axes.get_xlim() == (-0.5, cols - 0.5)
        assert axes.get_ylim() == (rows - 0.5, -0.5), "rows run downwards"
        box = axes.get_window_extent()
        assert box.width / box.height == pytest.approx(cols / rows, rel=1e-3), "units are square"
    assert [row[0].get_ylabel() for row in panels] == ["resnet18\nrow", "vgg19\nrow"]
    assert [axes.get_xlabel() for axes in panels.flat] == ["", "", "column", "column"]
    assert [axes.get_title() for axes in panels[0]] == ["CL1", "CL2"]


def test_long_names_stand_beside_low_panels():
    low = np.zeros((2, 9))
    sheet = LatticeSheet({LONG: {"CL1": low}, "other": {"CL1": low}}, "title")
    pixels(sheet.figure)
    boxes = [axes.yaxis.label.get_window_extent() for axes in sheet.panels[:, 0]]
    assert not boxes[0].overlaps(boxes[1])
    assert boxes[0].x0 > 0
    assert boxes[0].x1 < sheet.panels[0, 0].get_window_extent().x0


def test_panels_stand_where_they_are_put():
    sheet = Sheet([2, 1], [1, 3], "title", gaps=(0.5, 0.25), bar=True, legend=9)
    sheet.bar(sheet.panels[0, 0].imshow(np.eye(2), aspect="auto"), "a label")
    sheet.legend([Patch(color="red", label="a name of some length") for _ in range(9)])
    pixels(sheet.figure)
    inches = [
        axes.get_window_extent().transformed(sheet.figure.dpi_scale_trans.inverted()) for axes in sheet.figure.axes
    ]
    sizes = [(box.width, box.height) for box in inches[:4]]
    assert sizes == [pytest.approx(size) for size in ((2, 1), (1, 1), (2, 3), (1, 3))]
    assert inches[1].x0 - inches[0].x1 == pytest.approx(0.5)
    assert inches[0].y0 - inches[2].y1 == pytest.approx(0.25)
    assert inches[4].x0 > inches[3].x1, "the colour bar is at the right"
    (legend,) = sheet.figure.legends
    box = legend.get_window_extent().transformed(sheet.figure.dpi_scale_trans.inverted())
    assert 0 <= box.y0 < box.y1 < inches[2].y0


def test_a_warning_is_seen():
    assert Sheet([1], [1], "a title").figure._suptitle.get_color() == "black"
    figure = Sheet([1], [1], "a title", "the runs differ in model.rows: 3 and 4, and in other things").figure
    assert "a title WARNING: the runs differ in model.rows: 3 and 4" in figure._suptitle.get_text().replace("\n", " ")
    assert figure._suptitle.get_color() != "black"
    pixels(figure)
    assert not figure._suptitle.get_window_extent().overlaps(figure.axes[0].get_window_extent())


def test_names_are_cut_where_they_say_least():
    assert tail(LONG, 16) == "…selayer12.conv2"
    assert tail("CL1", 16) == "CL1"
    assert first_name("great white shark, white shark", 16) == "great white sha…"
    assert first_name("bee, apis", 16) == "bee"

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from callbacks.figures.layout import chosen_classes
from callbacks.figures.unfolded import unfolded_figure, unfolding_figure
from callbacks.style import class_colours
from tests.callbacks.laid_out import NAMES, TABLES, assert_laid_out, table

# The second class lies across the seam of the columns: at 0 and at 5 of 6.
HITS = {"CL1": table((0, 2, 2, 4), (1, 1, 0, 2), (1, 1, 5, 2), classes=2, rows=4, cols=6)}


def offsets(axes):
    """Where everything is drawn, by colour: {class: [(x, y), ...]} of the dots, and of discs and crosses."""
    dots, marks = {0: [], 1: []}, {0: [], 1: []}
    colours = [tuple(np.round(colour, 3)) for colour in class_colours(2)]
    for drawn in axes.collections:
        for kind in (drawn.get_facecolor(), drawn.get_edgecolor()):
            colour = tuple(np.round(to_rgb(kind[0]), 3)) if len(kind) else None
            if colour in colours and len(drawn.get_offsets()):
                where = dots if drawn.get_alpha() else marks
                where[colours.index(colour)] += [tuple(np.round(place, 2)) for place in drawn.get_offsets()]
                break
    return dots, marks


def test_a_class_across_a_seam_stays_in_one_piece():
    figure = unfolding_figure(HITS, "torus", ["ant", "bee"], [0, 1])
    assert_laid_out(figure)
    above, below = figure.axes
    dots, marks = offsets(above)
    assert sorted(x for x, _ in dots[1]) == pytest.approx([0, 5], abs=0.3)
    dots, marks = offsets(below)
    assert sorted(x for x, _ in dots[1]) == pytest.approx([11, 12], abs=0.3), "side by side in the unfolded map"
    assert (11.5, 5.0) in marks[1], "the intrinsic center, between them"
    assert (8.5, 5.0) in marks[1], "paper_naive, half a map away"
    assert (8.0, 6.0) in marks[0]
    assert below.get_xlim() == (2.5, 14.5)
    assert below.get_ylim() == (9.5, 1.5)
    title = figure._suptitle.get_text()
    assert "3 x 3" in title
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["ant", "bee", "center", "ambiguous center", "mean over the copies"]


def test_a_center_past_the_last_unit_is_drawn_within_the_frame():
    hits = {"CL1": table((0, 1, 5, 2), (0, 1, 0, 3), classes=1, rows=4, cols=6)}  # center at column 5.6
    above, _ = unfolding_figure(hits, "torus", ["ant"], [0]).axes
    found = {tuple(np.round(place, 2)) for drawn in above.collections for place in drawn.get_offsets()}
    assert (-0.4, 1.0) in found


def test_a_plane_does_not_unfold():
    figure = unfolding_figure(HITS, "plane", ["ant", "bee"], [0, 1])
    assert_laid_out(figure)
    (only,) = figure.axes
    assert only.get_xlim() == (-0.5, 5.5)
    assert "3 x 3" not in figure._suptitle.get_text()


def test_runs_of_other_lattices():
    grid = {"a": HITS, "b": {"CL1": table((0, 0, 1, 3), classes=2, rows=3, cols=2)}}
    figure = unfolded_figure(grid, {"a": "torus", "b": "plane"}, ["ant", "bee"], [0, 1], "the runs differ")
    assert_laid_out(figure)
    assert [axes.get_title() for axes in figure.axes] == ["CL1, n = 8", "CL1, n = 3"]
    assert figure.axes[0].get_xlim() == (2.5, 14.5)
    assert figure.axes[1].get_xlim() == (-0.5, 1.5)


@pytest.mark.parametrize("hits", TABLES.values(), ids=TABLES.keys())
def test_whatever_is_shown(hits):
    first = next(iter(hits.values()))
    if chosen := chosen_classes(first.sum((1, 2))):
        assert_laid_out(unfolding_figure(hits, "torus", NAMES, chosen))

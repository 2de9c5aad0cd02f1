import io
from itertools import product

import numpy as np
import pytest
import torch

from callbacks.figures.attacked_maps import PATHS, attacked_maps_figure
from callbacks.map_drawing import region_image
from callbacks.style import class_colours
from som import Lattice
from tests.callbacks.laid_out import NAMES, TABLES, assert_laid_out, table

HITS = {"CL1": table((0, 0, 3, 3), (1, 1, 1, 1)), "CL2": table((2, 2, 0, 2), (1, 2, 0, 2))}
CLASSES = ["ant", "bee, apis", "cat"]


def figure_of(clean, adversarial, topology="torus", hits=HITS, classes=CLASSES):
    moves = {depth: (torch.tensor(clean), torch.tensor(adversarial)) for depth in hits}
    lattice = Lattice(*next(iter(hits.values())).shape[1:], topology)
    return attacked_maps_figure(hits, moves, np.arange(len(clean)) % len(classes), classes, lattice, "pgd at 4/255")


def arrows(axes):
    """Tail and head (x, y) of every arrow."""
    return [np.array(patch._posA_posB) for patch in axes.patches]


def units(points, cols=4):
    """The unit that each (x, y) is in."""
    return np.rint(points[:, 1]).astype(int) * cols + np.rint(points[:, 0]).astype(int)


def test_clean_images_above_the_attacked():
    figure = figure_of([0, 5, 3], [0, 6, 3])
    assert_laid_out(figure)
    panels = np.array(figure.axes[:6]).reshape(3, 2)
    for (density, regions, paths), (depth, each) in zip(panels.T, HITS.items(), strict=True):
        assert density.get_title() == f"{depth}, n = {each.sum()}"
        np.testing.assert_allclose(density.images[0].get_array(), 100 * each.sum(0) / each.sum())
        picture = region_image(each)[::12, ::12]
        assert np.array_equal(regions.images[0].get_array(), picture)
        assert (paths.images[0].get_array() >= picture / 255 - 1e-9).all(), "paler"
        assert paths.get_title() == "1 of 3 move"
        discs = paths.collections
        np.testing.assert_allclose([disc.get_facecolor()[0, :3] for disc in discs], class_colours(3))
        assert units(np.concatenate([disc.get_offsets() for disc in discs])).tolist() == [0, 5, 3]
        (ends,) = arrows(paths)
        assert units(ends).tolist() == [5, 6]
        np.testing.assert_allclose(paths.patches[0].get_facecolor()[:3], class_colours(3)[1])
    title = figure._suptitle.get_text().replace("\n", " ")
    assert "share of validation images x 100" in title
    assert "Bottom: 3 images under pgd at 4/255, from the clean BMU" in title
    assert "drawn" not in title
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ant", "bee", "cat"]


@pytest.mark.parametrize("topology", ["torus", "plane"])
def test_an_arrow_takes_the_short_way(topology):
    """Against brute force: of all nine copies of the end, the nearest."""
    lattice = Lattice(3, 5, topology)
    hits = {"CL1": table((0, 0, 3, 3), rows=3, cols=5)}
    for start, end in product((0, 7), range(lattice.units)):  # a corner and the middle
        axes = figure_of([start], [end], topology, hits).axes[2]
        drawn = arrows(axes)
        assert bool(drawn) == (start != end)
        for ends in drawn:
            steps = float(lattice.distance(torch.tensor(start), torch.tensor(end)))
            assert np.hypot(*(ends[1] - ends[0])) == pytest.approx(steps)
        if drawn:  # one leaves the disc, and one arrives at the end, both within the panel
            assert start in [units(ends, 5)[0] for ends in drawn if (ends[0] >= 0).all()]
            inside = [ends[1] for ends in drawn if (ends[1] >= 0).all() and (ends[1] <= [4, 2]).all()]
            assert [units(each[None], 5)[0] for each in inside] == [end]


def test_images_on_one_unit_stand_apart_within_it():
    axes = figure_of([5] * 12, [5] * 12).axes[4]
    places = np.concatenate([disc.get_offsets() for disc in axes.collections])
    assert set(units(places)) == {5}
    assert len(np.unique(places.round(3), axis=0)) == 12
    assert not axes.patches


def test_of_many_images_some_are_drawn_and_the_title_says_so():
    rng = np.random.default_rng(0)
    clean, adversarial = rng.integers(0, 12, (2, 200)).tolist()
    figure = figure_of(clean, adversarial)
    title = figure._suptitle.get_text().replace("\n", " ")
    assert "Bottom: 200 images under pgd at 4/255" in title
    assert title.endswith(f"{PATHS} of them are drawn")
    assert len(figure.axes[4].collections) == PATHS
    moved = sum(one != other for one, other in zip(clean, adversarial, strict=True))
    assert figure.axes[4].get_title() == f"{moved} of 200 move", "of all, not of those that are drawn"


@pytest.mark.parametrize("hits", TABLES.values(), ids=TABLES.keys())
def test_whatever_is_shown(hits):
    each = next(iter(hits.values()))
    last = each[0].size - 1
    assert_laid_out(figure_of([0, last, last // 2], [last, 0, last // 2], hits=hits, classes=NAMES[: len(each)]))


def test_a_figure_can_be_written_as_pdf():
    buffer = io.BytesIO()
    figure_of([0], [11]).savefig(buffer, format="pdf")
    assert buffer.getvalue().startswith(b"%PDF")

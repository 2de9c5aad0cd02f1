import numpy as np
import pytest
import torch

from callbacks.attack.map_figures import flow_figure, trajectories_figure
from measures import class_centers
from tests.callbacks.laid_out import assert_laid_out
from tests.callbacks.ledgers import DEPTHS, LATTICE, columns, context, group, units

HITS = torch.zeros(4, 20, dtype=torch.int64)
HITS[0, 0], HITS[1, 12], HITS[2, 7] = 5, 4, 3  # regions of three classes


def pictures(ids):
    clean = torch.rand(len(ids), 3, 8, 9, generator=torch.Generator().manual_seed(0))
    return {"id": torch.tensor(ids), "clean": clean, "adversarial": (clean + 0.01).clamp(0, 1)}


@pytest.fixture
def rows():
    given = {}
    for depth in DEPTHS:  # from the upper left corner to the lower right one: one step over each seam
        given |= {f"{depth}_clean_row": [0, 1, 2], f"{depth}_clean_col": [0, 1, 2]}
        given |= {f"{depth}_adversarial_row": [3, 1, 2], f"{depth}_adversarial_col": [4, 1, 4]}
    return columns(3, **given)


@pytest.mark.parametrize("regions", [None, HITS])
def test_paths_are_torus_distances_on_paper(rows, regions):
    found = group(3, context(regions=regions), **rows)
    figure = trajectories_figure(found, pictures([0, 2]), {0: "tench, Tinca tinca", 1: "goldfish"})
    assert_laid_out(figure)
    panels = np.array(figure.axes).reshape(2, 5)
    assert [axes.get_title() for axes in panels[0]][:2] == ["clean: tench", "attacked: goldfish"]
    assert panels[0, 2].get_title().startswith("difference x ")
    for place, number in enumerate((0, 2)):
        for axes, depth in zip(panels[place, 3:], DEPTHS, strict=True):
            path, clean, end = axes.lines[-3:]
            steps = float(found.displacement(depth, "adversarial")[number])
            (x0, x1), (y0, y1) = path.get_data()
            assert np.hypot(x1 - x0, y1 - y0) == pytest.approx(steps)
            assert axes.get_xlabel() == f"{steps:.1f} steps"
            assert (clean.get_xdata()[0], clean.get_ydata()[0]) == (x0, y0)
            assert (end.get_xdata()[0], end.get_ydata()[0]) == (x1, y1)
            assert axes.get_xlim()[0] < x1 < axes.get_xlim()[1]
            assert len(axes.lines) == (4 if regions is not None else 3)
    if regions is not None:
        star = panels[1, 3].lines[0].get_xydata()[0]
        center = class_centers(HITS, LATTICE).center[1]
        start = panels[1, 3].lines[2].get_xydata()[0]
        away = center - torch.tensor([2.0, 2.0])  # of image 2, nearer than half-way round
        np.testing.assert_allclose(star - start, away.flip(0))


def test_a_class_without_a_name_has_its_number(rows):
    figure = trajectories_figure(group(3, **rows), pictures([1]))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["clean: class 0", "attacked: class 1"]


def test_flow_between_regions():
    rows = columns(40, seed=4)
    found = group(40, context(regions=HITS), **rows)
    figure = flow_figure(found, {0: "tench", 1: "goldfish", 2: "bull mastiff, dog"})
    assert_laid_out(figure)
    regions = found.context.references.regions["CL1"]
    owner = regions.probabilities(torch.arange(20)).argmax(1)
    start, end = (owner[units(rows, "CL1", kind)].numpy() for kind in ("clean", "adversarial"))
    axes = figure.axes[0]
    names = {"tench": 0, "goldfish": 1, "bull mastiff": 2}
    shown = [names[label.get_text()] for label in axes.get_yticklabels()]
    table = axes.images[0].get_array()
    for row, region in enumerate(shown):
        for col, other in enumerate(shown):
            assert table[row, col] == pytest.approx((end[start == region] == other).mean())
    np.testing.assert_allclose(table.sum(1), 1)
    counts = [(start == region).sum() for region in shown]
    assert counts == sorted(counts, reverse=True)
    assert axes.get_title() == f"CL1: {(start == end).mean():.0%} stay"
    assert figure.get_suptitle() == "Flow between class regions under fgsm at 4/255: 40 images"

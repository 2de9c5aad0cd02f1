import math
from dataclasses import fields

import numpy as np
import pytest
import torch

from callbacks.figures.depth_profile import depth_profile_figure
from callbacks.style import depth_colours, run_styles
from measures import Estimate, class_structure
from som import Lattice
from tests.callbacks.laid_out import LONG, assert_laid_out, counted

DEPTHS = ("CL1", "CL2", "CL3")


def numbers(depths=DEPTHS, shift: float = 0.0) -> dict:
    by_depth = {depth: number for number, depth in enumerate(depths)}
    found = {
        "samples": dict.fromkeys(depths, 300.0),
        "classes": dict.fromkeys(depths, 10.0),
        "collision_lift": {depth: 2 ** (n + shift) for depth, n in by_depth.items()},
        "collision_lift_low": {depth: 1.5 ** (n + shift) for depth, n in by_depth.items()},
        "collision_lift_high": {depth: 3 ** (n + shift) for depth, n in by_depth.items()},
        "collision_lift_null_mean": dict.fromkeys(depths, 1.0),
        "collision_lift_null_low": dict.fromkeys(depths, 0.8),
        "collision_lift_null_high": dict.fromkeys(depths, 1.3),
        "distance_ratio": {depth: 1 - 0.1 * n for depth, n in by_depth.items()},
        "label_transfer": {depth: 0.2 * n for depth, n in by_depth.items()},
        "left_out_transfer": {depth: 0.1 * n for depth, n in by_depth.items()},
        "effective_units": dict.fromkeys(depths, 77.0),
    }
    similar = {
        f"cka_{one}": {other: 1 - 0.2 * abs(n - m) for other, m in by_depth.items()} for one, n in by_depth.items()
    }
    return found | similar


def test_one_run_has_a_colour_a_depth():
    figure = depth_profile_figure({"": numbers()}, DEPTHS)
    assert_laid_out(figure)
    titles = [axes.get_title() for axes in figure.axes]
    assert [title.split(":")[0] for title in titles] == [
        "Collision lift",
        "D_in / D_out",
        "Label transfer",
        "Effective units",
        "CKA of neighbouring depths",
    ]
    lift = figure.axes[0]
    points = [line for line in lift.lines if line.get_marker() == "o"]
    assert [line.get_color() for line in points] == list(depth_colours(DEPTHS).values())
    assert [line.get_xydata().tolist() for line in points] == [[[0, 1]], [[1, 2]], [[2, 4]]]
    bars = [drawn.get_segments()[0][:, 1].tolist() for drawn in lift.collections if hasattr(drawn, "get_segments")]
    assert bars == [[1, 1], [1.5, 3], [2.25, 9]]
    bands = [drawn.get_paths()[0].get_extents() for drawn in lift.collections if not hasattr(drawn, "get_segments")]
    assert [(band.y0, band.y1) for band in bands] == [(0.8, 1.3)] * 3
    assert lift.get_yscale() == "log"
    (similar,) = (line for line in figure.axes[4].lines if line.get_marker() == "o")
    np.testing.assert_allclose(similar.get_xydata(), [[0.5, 0.8], [1.5, 0.8]])
    assert "n = 300 images of 10 classes" in figure._suptitle.get_text().replace("\n", " ")
    assert not figure.legends


def test_several_runs_have_a_colour_a_run():
    runs = {"resnet18": numbers(), "vgg19": numbers(shift=1), LONG: {"distance_ratio": {"CL1": 0.5}}}
    figure = depth_profile_figure(runs, DEPTHS, "the runs differ in data.root")
    assert_laid_out(figure)
    found = [text.get_text() for text in figure.legends[0].get_texts()]
    assert found[:2] == ["resnet18", "vgg19"]
    colours = {line.get_color() for line in figure.axes[0].lines if line.get_marker() not in ("None", "")}
    assert {colour for colour, _ in list(run_styles(list(runs)).values())[:2]} <= colours
    assert "WARNING: the runs differ in data.root" in figure._suptitle.get_text().replace("\n", " ")


def test_what_is_absent_gets_no_panel():
    old = {"collision_lift": {"CL1": 2.0, "CL2": None, "CL3": math.nan}, "left_out_transfer": {"CL1": 0.5}}
    figure = depth_profile_figure({"": old}, DEPTHS)
    assert_laid_out(figure)
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == [
        "Collision lift",
        "Label transfer, each image left out",
    ]
    assert depth_profile_figure({"": {}}, DEPTHS) is None
    assert depth_profile_figure({"": {"collision_lift": dict.fromkeys(DEPTHS)}}, DEPTHS) is None


@pytest.mark.parametrize("depths", [("CL1",), (LONG, f"{LONG}.0"), tuple(f"{LONG}.{k}" for k in range(6))])
def test_any_depths(depths):
    assert_laid_out(depth_profile_figure({"": numbers(depths)}, depths))
    assert_laid_out(depth_profile_figure({"a": numbers(depths), "b": numbers(depths, 1)}, depths))


@pytest.mark.parametrize(("classes", "images"), [(1, 1), (1, 9), (5, 1), (2, 6)])
def test_what_degenerate_classes_measure(classes, images):
    hits = counted(("CL1", "CL2"), classes, 3, 4, images)
    found: dict = {}
    for depth, table in hits.items():
        estimates = class_structure(torch.from_numpy(table.reshape(classes, -1)), Lattice(3, 4), permutations=5)
        for name, estimate in estimates.items():
            for field in fields(Estimate):
                key = name if field.name == "value" else f"{name}_{field.name}"
                found.setdefault(key, {})[depth] = getattr(estimate, field.name)
    figure = depth_profile_figure({"": found}, tuple(hits))
    if figure is not None:
        assert_laid_out(figure)

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

from callbacks.attack.figures import displacement_figure, robust_accuracy_figure
from callbacks.style import depth_colours
from tests.callbacks.laid_out import LONG, assert_laid_out

DEPTHS = ("CL1", "CL2", "CL3")
EPSILONS = (0.0625, 1.0, 8.0)


def rate(value: float, trials: int = 20) -> dict[str, float]:
    return {"rate": value, "low": max(0, value - 0.1), "high": min(1, value + 0.2), "trials": trials}


def results(attacks=("fgsm", "pgd"), epsilons=EPSILONS, depths=DEPTHS) -> dict:
    found = _results(attacks, epsilons, depths)
    found["specs"] = {label: {"norm": "linf", "kind": "bounded"} for label in attacks}
    found["curves"] = found["attacks"]
    return found


def _results(attacks, epsilons, depths) -> dict:
    return {
        "reference": "ImageNet labels",
        "clean_accuracy": rate(0.9),
        "images": 20,
        "attacked": 18,
        "attacks": {
            attack: {
                f"{epsilon:g}/255": {
                    "robust_accuracy": rate(0.9 / (1 + epsilon) / (1 + index)),
                    "attack_success": rate(0.5, 18),
                    "displacement": {depth: epsilon * (k + 1) + index for k, depth in enumerate(depths)},
                    "control_displacement": {depth: epsilon * (k + 1) / 4 for k, depth in enumerate(depths)},
                }
                for epsilon in epsilons
            }
            for index, attack in enumerate(attacks)
        },
    }


def test_robust_accuracy_curves():
    numbers = results()
    figure = robust_accuracy_figure(numbers)
    assert_laid_out(figure)
    (axes,) = figure.axes
    fgsm, pgd, clean = axes.lines
    for line, attack in ((fgsm, "fgsm"), (pgd, "pgd")):
        assert line.get_label() == attack
        np.testing.assert_allclose(line.get_xdata(), EPSILONS, rtol=0.03)
        rates = [each["robust_accuracy"]["rate"] for each in numbers["attacks"][attack].values()]
        assert list(line.get_ydata()) == rates
    assert set(clean.get_ydata()) == {0.9}
    for line, bars, attack in zip((fgsm, pgd), axes.collections[1::2], ("fgsm", "pgd"), strict=True):
        robust = [each["robust_accuracy"] for each in numbers["attacks"][attack].values()]
        expected = [[(x, r["low"]), (x, r["high"])] for x, r in zip(line.get_xdata(), robust, strict=True)]
        np.testing.assert_allclose(bars.get_segments(), expected)
    bands = [band.get_datalim(axes.transData) for band in axes.collections[::2]]
    lows = [min(each["robust_accuracy"]["low"] for each in numbers["attacks"][a].values()) for a in ("fgsm", "pgd")]
    np.testing.assert_allclose([band.y0 for band in bands], lows)
    assert figure.get_suptitle() == "Robust accuracy against ImageNet labels\nn = 20 images, 18 attacked"
    assert axes.get_ylabel() == "accuracy"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.0625", "1", "8"]


def test_equal_attacks_hide_none_of_them():
    numbers = results()
    numbers["attacks"]["pgd"] = numbers["attacks"]["fgsm"]
    fgsm, pgd, _ = robust_accuracy_figure(numbers).axes[0].lines
    assert fgsm.get_marker() != pgd.get_marker()
    assert fgsm.get_linestyle() != pgd.get_linestyle()
    assert (fgsm.get_xdata() < np.array(pgd.get_xdata())).all()


def test_accuracy_against_the_own_prediction_says_so():
    own = {"reference": "the backbone's own clean prediction", "clean_accuracy": None, "attacked": 20}
    figure = robust_accuracy_figure(results() | own)
    assert_laid_out(figure)
    (axes,) = figure.axes
    assert figure.get_suptitle() == "Agreement with the backbone's own clean prediction\nn = 20 images, 20 attacked"
    assert axes.get_ylabel() == "agreement with its own clean prediction"
    assert axes.lines[-1].get_label() == "clean: 1 by definition"
    assert set(axes.lines[-1].get_ydata()) == {1}


def test_displacement_curves():
    numbers = results()
    figure = displacement_figure(numbers, DEPTHS)
    assert_laid_out(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(DEPTHS)
    assert [axes.get_title() for axes in figure.axes] == [
        f"{name}, 18 of 20 images attacked" for name in ("fgsm", "pgd")
    ]
    colours = depth_colours(DEPTHS)
    for axes, attack in zip(figure.axes, ("fgsm", "pgd"), strict=True):
        for depth, moved, noise in zip(DEPTHS, axes.lines[::2], axes.lines[1::2], strict=False):
            by_epsilon = numbers["attacks"][attack].values()
            assert list(moved.get_ydata()) == [each["displacement"][depth] for each in by_epsilon]
            assert list(noise.get_ydata()) == [each["control_displacement"][depth] for each in by_epsilon]
            assert to_hex(moved.get_color()).upper() == to_hex(noise.get_color()).upper() == colours[depth]
            assert (moved.get_linestyle(), noise.get_linestyle()) == ("-", "--")
        assert axes.get_ylim()[0] <= 0 < max(moved.get_ydata()) < axes.get_ylim()[1]


@pytest.mark.parametrize(
    ("attacks", "epsilons", "depths"),
    [
        (("pgd",), (4.0,), (LONG,)),
        (("pgd",), (0.0625, 0.25, 1.0, 2.0, 4.0, 8.0), ("CL1", "CL2", "CL3", "CL4")),
        (("fgsm", "pgd"), (0.0625, 0.25, 1.0, 2.0, 4.0, 8.0), (LONG, "CL2")),
    ],
)
def test_layout_whatever_is_shown(attacks, epsilons, depths):
    numbers = results(attacks, epsilons, depths)
    assert_laid_out(robust_accuracy_figure(numbers))
    assert_laid_out(displacement_figure(numbers, depths))


def test_a_single_budget_shows_its_interval():
    (axes,) = robust_accuracy_figure(results(("pgd",), (4.0,))).axes
    bars = axes.collections[1].get_segments()
    np.testing.assert_allclose(bars, [[[4, 0.08], [4, 0.38]]])


def test_undefined_numbers_leave_gaps():
    numbers = results(("pgd",), (1.0, 2.0))
    for each in numbers["attacks"]["pgd"].values():
        each["robust_accuracy"]["rate"] = math.nan
        each["displacement"] = dict.fromkeys(DEPTHS, math.nan)
        each["control_displacement"] = dict.fromkeys(DEPTHS, math.nan)
    assert_laid_out(robust_accuracy_figure(numbers))
    assert_laid_out(displacement_figure(numbers, DEPTHS))


def test_every_norm_has_a_panel_and_minimal_attacks_a_curve():
    numbers = results(("fgsm", "pgd_l2"), (1.0, 2.0))
    numbers["specs"]["pgd_l2"]["norm"] = "l2"
    numbers["attacks"]["pgd_l2"] = {name.split("/")[0]: each for name, each in numbers["attacks"]["pgd_l2"].items()}
    minimal = numbers["attacks"]["fgsm"]["1/255"] | {"norm": {"low": 0.1, "median": 0.25, "high": 0.3}}
    numbers["attacks"] |= {"deepfool": {"minimal": minimal}, "spatial": {"fixed": minimal}}
    numbers["specs"] |= {"deepfool": {"norm": "l2", "kind": "minimal"}, "spatial": {"norm": "none", "kind": "fixed"}}
    numbers["curves"] = numbers["attacks"] | {"deepfool": numbers["attacks"]["pgd_l2"]}
    figure = robust_accuracy_figure(numbers)
    assert_laid_out(figure)
    left, right = figure.axes
    assert left.get_xlabel() == "Linf budget (1/255 of the pixel range)"
    assert right.get_xlabel() == "L2 budget (pixel values)"
    assert [len(axes.lines) for axes in (left, right)] == [2, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fgsm", "clean", "pgd_l2", "deepfool"]
    figure = displacement_figure(numbers, DEPTHS)
    assert_laid_out(figure)
    assert [axes.get_xlabel() for axes in figure.axes[2:]] == ["median L2 0.25", ""]

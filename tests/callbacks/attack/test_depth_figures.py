import numpy as np
import pytest
import torch

from callbacks.attack.depth_figures import amplification_figure, separation_figure
from callbacks.style import depth_colours
from tests.callbacks.laid_out import LONG, assert_laid_out

DEPTHS = ("CL1", "CL2")


def results(depths=DEPTHS, attacks=("pgd", "deepfool")):
    budgets = {"pgd": ("1/255", "4/255"), "deepfool": ("minimal",), "fgsm": ("1/255",)}
    return {
        "attacked": 18,
        "attacks": {
            label: {
                name: {
                    "control": "sign" if label != "deepfool" else "gaussian",
                    "by_depth": {
                        depth: {"amplification": {"control": 1.5 + k + place, "gaussian": None if k else 0.5}}
                        for k, depth in enumerate(depths)
                    },
                }
                for place, name in enumerate(budgets[label])
            }
            for label in attacks
        },
    }


def test_amplification_by_depth():
    figure = amplification_figure(results(), DEPTHS)
    assert_laid_out(figure)
    assert figure.get_suptitle() == "Amplification of code shifts by depth: medians over 18 attacked images"
    own, gaussian, deepfool = figure.axes
    assert [line.get_ydata().tolist() for line in own.lines[:2]] == [[1.5, 2.5], [2.5, 3.5]]
    assert np.isnan(gaussian.lines[0].get_ydata()).tolist() == [False, True], "null is a gap"
    assert own.get_title() == "pgd over sign noise"
    assert gaussian.get_title() == "pgd over Gaussian noise, same L2"
    assert deepfool.get_title() == "deepfool over Gaussian noise, same L2", "its own control is that already"
    assert [text.get_text() for text in gaussian.get_legend().get_texts()] == ["1/255", "4/255"]
    assert set(own.lines[-1].get_ydata()) == {1}, "no further than noise"


@pytest.mark.parametrize("depths", [(LONG,), ("CL1", "CL2", "CL3", "CL4", LONG)])
def test_amplification_is_laid_out_whatever_is_shown(depths):
    assert_laid_out(amplification_figure(results(depths, ("fgsm",)), depths))
    partly = results(depths, ("fgsm", "pgd"))
    partly["attacks"]["fgsm"]["1/255"]["by_depth"] = {}
    figure = amplification_figure(partly, depths)
    assert_laid_out(figure)
    assert [axes.get_title().split()[0] for axes in figure.axes] == ["pgd", "pgd"]


def scores(shift, count=30):
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(count), torch.arange(2 * count)
    draw = lambda n: torch.randn(n, generator=generator)  # noqa: E731
    found = {"relative_error": {depth: (draw(count) + shift, draw(2 * count), *groups) for depth in DEPTHS}}
    return found | {"energy": {"all": (draw(count) + shift, draw(2 * count), *groups)}}


def test_roc_curves_with_the_adaptive_attack_beside_them():
    figure = separation_figure(scores(3), "pgd at 4/255", DEPTHS, scores(-1), "adaptive at 4/255")
    assert_laid_out(figure)
    error, energy = figure.axes
    assert (error.get_title(), energy.get_title()) == ("relative error", "energy")
    styles = [line.get_linestyle() for line in error.lines]
    assert styles == ["-", "--", "-", "--", "-"]
    colours = depth_colours(DEPTHS)
    assert [line.get_color() for line in error.lines[:4]] == [colours[depth] for depth in DEPTHS for _ in range(2)]
    for line in error.lines[:4]:
        assert line.get_xydata()[0].tolist() == [0, 0]
        assert line.get_xydata()[-1].tolist() == [1, 1]
    texts = [text.get_text() for text in error.get_legend().get_texts()]
    assert [text.split()[0] for text in texts] == list(DEPTHS)
    assert all(float(text.split()[1]) > 0.9 > 0.5 > float(text.split()[2].strip("()")) for text in texts)
    assert "dashed, and in brackets: adaptive at 4/255" in figure.get_suptitle()


def test_without_the_adaptive_attack_the_figure_says_what_it_lacks():
    figure = separation_figure(scores(1), "pgd at 4/255", DEPTHS)
    assert_laid_out(figure)
    assert "no adaptive attack ran: this says nothing of detection" in figure.get_suptitle()

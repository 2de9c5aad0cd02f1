import numpy as np
import pytest

from callbacks.figures.losses import losses_figure
from callbacks.style import depth_colours
from tests.callbacks.laid_out import LONG, assert_laid_out


def curves(*depths: str, steps: int = 20, start: float = 100.0):
    at = np.arange(1, steps + 1)
    return {depth: (at, start * (number + 1) / at) for number, depth in enumerate(depths)}


def test_raw_and_relative_in_the_paper_s_colours():
    depths = ("CL1", "CL2", "CL3", "CL4")
    raw, relative = curves(*depths), curves(*depths, start=1)
    figure = losses_figure({"": {"energy": raw, "relative_energy": relative}})
    assert_laid_out(figure)
    for axes, found in zip(figure.axes, (raw, relative), strict=True):
        assert [line.get_color() for line in axes.lines] == list(depth_colours(depths).values())
        for line, (steps, values) in zip(axes.lines, found.values(), strict=True):
            np.testing.assert_allclose(line.get_xydata(), np.stack([steps, values], axis=1))
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]
    assert figure.axes[1].get_ylim()[0] == 0
    assert figure.axes[0].get_ylabel() == "raw loss (code units squared)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(depths)


def test_many_steps_are_summed_up():
    steps = np.arange(10_000)
    values = np.where(steps % 2, 1.0, 3.0)
    (axes,) = losses_figure({"": {"energy": {"CL1": (steps, values)}}}).axes
    faint, bold = axes.lines
    assert faint.get_alpha() < 0.5
    assert len(bold.get_xdata()) == 300
    np.testing.assert_allclose(bold.get_ydata(), 2, atol=0.05)


def test_runs_that_recorded_different_things():
    runs = {
        "a": {"energy": curves("CL1", LONG)},
        "b": {"energy": curves("CL1"), "relative_energy": curves("CL1")},
        "c": {},
    }
    figure = losses_figure(runs, "the runs differ in model.sigma")
    assert_laid_out(figure)
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == ["a", "b", "b"], "no empty panels"


def test_values_that_have_no_logarithm():
    values = np.array([3.0, np.nan, np.inf, 0.0, 1.0])
    figure = losses_figure({"": {"energy": {"CL1": (np.arange(5), values), "CL2": (np.arange(1), np.array([2.0]))}}})
    assert_laid_out(figure)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [3, np.nan, np.nan, np.nan, 1])


def test_nothing_was_recorded():
    assert losses_figure({"a": {}, "b": {}}) is None


@pytest.mark.parametrize("steps", [1, 300, 301, 999])
def test_any_number_of_steps(steps):
    assert_laid_out(losses_figure({"": {"energy": curves("CL1", steps=steps)}}))

import numpy as np
import pytest

from compare.pictures import common_depths, pictures
from compare.run import read_runs
from tests.callbacks.laid_out import assert_laid_out


def drawn(runs, *args):
    figures = dict(pictures(runs, *args))
    for figure in figures.values():
        assert_laid_out(figure)
    return figures


def test_rows_are_runs_and_columns_are_depths(make_run):
    runs = read_runs([make_run("a"), make_run("b", seed=1, sides=(5, 2))], ["resnet18", "vgg19"])
    figures = drawn(runs, "the runs differ in model.rows (3: resnet18; 5: vgg19)", 1.0)
    assert list(figures) == [
        "density",
        "classes",
        "unfolded",
        "bmus_by_class_CL2",
        "bmus_by_class_CL1",
        "losses",
        "depth_profile",
    ]
    for name, figure in figures.items():
        assert "WARNING: the runs differ in model.rows" in figure._suptitle.get_text().replace("\n", " "), name
    panels = np.array(figures["density"].axes[:4]).reshape(2, 2)
    assert [axes.get_title() for axes in panels[0]] == ["CL2, n = 12", "CL1, n = 12"]
    assert [axes.get_ylabel() for axes in panels[:, 0]] == ["resnet18\nrow", "vgg19\nrow"]
    for axes, run in zip(panels[:, 1], runs, strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), run.hits["CL1"].sum(0) / 12)
    by_class = np.array(figures["bmus_by_class_CL1"].axes[:6]).reshape(2, 3)
    assert [axes.get_title().split("\n")[0] for axes in by_class[0]] == ["ant", "bee", "cat"]
    np.testing.assert_allclose(by_class[1, 2].images[0].get_array(), (runs[1].hits["CL1"][2] / 4) ** 0.4)


def test_classes_pair_up_by_name(make_run):
    runs = read_runs([make_run("a"), make_run("b", classes=("cat", "dog", "ant"))], ["one", "two"])
    figures = drawn(runs, "")
    panels = np.array(figures["bmus_by_class_CL1"].axes[:4]).reshape(2, 2)
    assert [axes.get_title().split("\n")[0] for axes in panels[0]] == ["ant", "cat"]
    np.testing.assert_allclose(panels[1, 0].images[0].get_array(), (runs[1].hits["CL1"][2] / 4) ** 0.4)


def test_runs_without_a_class_or_a_fit_in_common(make_run):
    runs = read_runs([make_run("a", losses=False), make_run("b", classes=("x", "y"), losses=False)], ["one", "two"])
    assert list(drawn(runs, "")) == ["density", "depth_profile"]


def test_depths_in_common(make_run):
    runs = read_runs([make_run("a"), make_run("b", depths=("CL1", "layer9"))], ["one", "two"])
    assert common_depths(runs) == ("CL1",)
    assert "bmus_by_class_CL2" not in drawn(runs, "")
    runs = read_runs([make_run("c"), make_run("d", depths=("layer8", "layer9"))], ["one", "two"])
    with pytest.raises(ValueError, match=r"no depth in common \(one: CL2, CL1; two: layer8, layer9\)"):
        list(pictures(runs, ""))


def test_chosen_classes(make_run):
    runs = read_runs([make_run(classes=tuple(f"class {k}" for k in range(12)))])
    panels = dict(pictures(runs, "", 100, ["class 7", "class 2"]))["bmus_by_class_CL1"].axes
    assert [axes.get_title().split("\n")[0] for axes in panels[:2]] == ["class 7", "class 2"]
    with pytest.raises(ValueError, match=r"'clas 7' is no class that all runs have; did you mean class 7 or"):
        list(pictures(runs, "", 100, ["clas 7"]))
    with pytest.raises(ValueError, match="names 10 classes: a picture tells at most 9 apart"):
        list(pictures(runs, "", 100, [f"class {k}" for k in range(10)]))


def test_numbers_that_are_all_undefined(make_run):
    depths = ("CL2", "CL1")
    runs = read_runs([make_run(measures={"validate": {"collision_lift": dict.fromkeys(depths)}})])
    assert "depth_profile" not in drawn(runs, "")

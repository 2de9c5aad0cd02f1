import pytest

from compare.differences import differences, warning
from compare.run import read_runs


def found(make_run, first, second):
    runs = read_runs([make_run("a", **first), make_run("b", **second)], ["one", "two"])
    assert differences(runs[:1]) == []
    return differences(runs)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model__backbone": "resnet50"},
        {"model__weights": "none"},
        {"model__taps": {"CL1": "layer1"}},
        {"data__num_workers": 0},
        {"data__attack_images": 5},
        {"trainer__accelerator": "cpu"},
        {"seed": 3},
    ],
)
def test_what_runs_may_differ_in(make_run, settings):
    assert found(make_run, {}, settings) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data__root": "other"}, ["data.root (images: one; other: two)"]),
        ({"model__standardise": False}, ["model.standardise (not recorded: one; False: two)"]),
        ({"model__statistics": ["max"]}, ["model.statistics (not recorded: one; ['max']: two)"]),
        ({"trainer__max_epochs": 9}, ["trainer.max_epochs (3: one; 9: two)"]),
        ({"sides": (5, 4)}, ["model.rows (3: one; 5: two)"]),
        (
            {"images": 7, "data__per_class": 7},
            ["validation images (12, 4 a class: one; 21, 7 a class: two)", "data.per_class (null: one; 7: two)"],
        ),
        ({"classes": ("ant", "bee", "cow")}, ["classes (cat, cow not in all)", "which images were validated"]),
        (
            {"classes": ("ant", "bee")},
            ["classes (cat not in all)", "validation images (12, 4 a class: one; 8, 4 a class: two)"],
        ),
    ],
)
def test_what_must_be_said(make_run, settings, said):
    assert found(make_run, {}, settings) == said


def test_maps_of_other_splits(make_run):
    folders = [make_run(name) for name in ("a", "b")]
    for folder, split in zip(folders, ("train", "val"), strict=True):
        with (folder / "config.yaml").open("a") as config:
            config.write(f"fit_split: {split}\n")
    assert differences(read_runs(folders, ["SOM-tr", "SOM-val"])) == ["fit_split (train: SOM-tr; val: SOM-val)"]


def test_classes_in_another_order(make_run):
    assert "classes (in another order)" in found(make_run, {}, {"classes": ("bee", "ant", "cat")})


def test_runs_of_one_setting_stand_together(make_run):
    runs = read_runs([make_run(name, data__root=name[0]) for name in ("a1", "b1", "a2")], ["x", "y", "z"])
    assert "data.root (a: x and z; b: y)" in differences(runs)


def test_warnings_that_fit_a_figure():
    assert warning([]) == ""
    assert warning(["a", "b"]) == "the runs differ in a; b"
    assert warning(list("abcdef")) == "the runs differ in a; b; c; d; and 2 more"

from collections import Counter

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import MapPictures
from callbacks.map_drawing import class_sheet, density_image, region_image
from callbacks.map_pictures import growth_pictures
from tests.callbacks.conftest import TAPS, make_data, make_module, make_trainer
from tests.callbacks.events import pictures

TAGS = {f"4_growth/{picture}/{depth}" for picture in ("density", "regions", "bmus_by_class") for depth in TAPS}


def scalar_steps(folder) -> list[int]:
    events = EventAccumulator(str(folder / "run" / "v"), size_guidance={"scalars": 0}).Reload()
    return [event.step for event in events.Scalars("validate/quantisation_error/CL1")]


def test_the_analysis_draws_the_hits(tmp_path, make_tree):
    module = make_module()
    trainer = make_trainer(tmp_path, MapPictures())
    trainer.validate(module, datamodule=make_data(make_tree({"val": 3})), verbose=False)
    found = pictures(tmp_path / "run" / "v")
    assert set(found) == TAGS
    for depth in TAPS:
        hits = module.hits[depth].numpy().reshape(3, 3, 4)
        assert hits.sum() == 9
        names = [f"{name} (n = 3)" for name in ("ant", "bee", "cat")]
        expected = growth_pictures(depth, hits, ["ant", "bee", "cat"], "torus")
        for picture, inner in (
            ("density", density_image(hits.sum(0))),
            ("regions", region_image(hits)),
            ("bmus_by_class", class_sheet(hits, names)),
        ):
            (shown,) = found[f"4_growth/{picture}/{depth}"].values()
            assert np.array_equal(shown, expected[f"4_growth/{picture}/{depth}"]), picture
            times = shown.shape[1] // inner.shape[1]
            large = inner.repeat(times, 0).repeat(times, 1)
            starts = [top for top in range(len(shown)) if np.array_equal(shown[top:][: len(large)], large)]
            assert len(starts) == 1, "the picture as it is, with words around it"


@pytest.mark.parametrize(
    "settings",
    [
        {"max_epochs": 20},
        {"max_epochs": 4, "val_check_interval": 1},
        {"max_epochs": 9, "check_val_every_n_epoch": 3},
        {"max_epochs": 1},
    ],
)
def test_at_most_ten_pictures_a_tag(tmp_path, make_tree, settings):
    root = make_tree({"train": 4, "val": 2})
    module = make_module()
    trainer = make_trainer(tmp_path, MapPictures(), **settings)
    trainer.fit(module, datamodule=make_data(root))
    trainer.validate(module, datamodule=make_data(root), verbose=False)
    found = pictures(tmp_path / "run" / "v")
    assert set(found) == TAGS
    counts = Counter(len(found[tag]) for tag in TAGS)
    # With the analysis, where it does not repeat the last validation.
    expected = {20: 10, 4: 5, 9: 3, 1: 1}[settings["max_epochs"]]
    assert counts == {expected: len(TAGS)}
    steps = set(found["4_growth/density/CL1"])
    assert len(steps) == expected
    scalars = scalar_steps(tmp_path)
    assert steps <= set(scalars), "pictures and scalars stand at the same steps"
    assert max(steps) == max(scalars)
    assert len(scalars) == len(set(scalars))


def test_other_maps_at_the_same_step_are_drawn(tmp_path, make_tree):
    root = make_tree({"train": 4, "val": 2})
    callback = MapPictures()
    trainer = make_trainer(tmp_path / "fit", callback)
    trainer.fit(make_module(), datamodule=make_data(root))
    alone = make_trainer(tmp_path / "alone", callback)
    alone.validate(make_module(), datamodule=make_data(root), verbose=False)
    assert set(pictures(tmp_path / "alone" / "run" / "v")) == TAGS
    assert scalar_steps(tmp_path / "alone") == [0]


def test_a_single_class_and_no_logger(tmp_path, make_tree):
    root = make_tree({"val": 2}, classes=("ant",))
    trainer = make_trainer(tmp_path, MapPictures(), logger=False, default_root_dir=tmp_path)
    with pytest.warns(UserWarning, match="has a single class"):
        trainer.validate(make_module(), datamodule=make_data(root), verbose=False)
    assert not (tmp_path / "figures").exists(), "without a logger there is nothing to draw in"


def test_a_legend_names_few_classes_and_not_many():
    hits = np.zeros((21, 3, 4), int)
    hits[20, 1, 2] = 7
    few, many = (
        growth_pictures("CL1", hits[-n:], [f"class {k}" for k in range(n)], "plane")["4_growth/regions/CL1"]
        for n in (20, 21)
    )
    assert len(few) == len(many) + 10 * 18, "10 lines of two classes"
    assert "4_growth/bmus_by_class/CL1" not in growth_pictures("CL1", 0 * hits, ["a"] * 21, "plane")

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import MapPictures
from callbacks.map_drawing import class_strip, density_image, region_image
from tests.callbacks.conftest import TAPS, make_data, make_module, make_trainer

TAGS = {f"validate/{picture}/{depth}" for picture in ("density", "regions", "bmus_by_class") for depth in TAPS}


def events(folder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "run" / "v"), size_guidance={"images": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


def decode(event) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))


def test_the_analysis_draws_the_hits(tmp_path, make_tree):
    module = make_module()
    trainer = make_trainer(tmp_path, MapPictures())
    trainer.validate(module, datamodule=make_data(make_tree({"val": 3})), verbose=False)
    found = events(tmp_path)
    assert set(found.Tags()["images"]) == TAGS
    for depth in TAPS:
        hits = module.hits[depth].numpy().reshape(3, 3, 4)
        assert hits.sum() == 9
        for picture, expected in (
            ("density", density_image(hits.sum(0))),
            ("regions", region_image(hits)),
            ("bmus_by_class", class_strip(hits, ["ant", "bee", "cat"])),
        ):
            (event,) = found.Images(f"validate/{picture}/{depth}")
            assert np.array_equal(decode(event), expected), picture


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
    found = events(tmp_path)
    assert set(found.Tags()["images"]) == TAGS
    counts = Counter(len(found.Images(tag)) for tag in TAGS)
    # With the analysis, where it does not repeat the last validation.
    expected = {20: 10, 4: 5, 9: 3, 1: 1}[settings["max_epochs"]]
    assert counts == {expected: len(TAGS)}
    steps = {event.step for event in found.Images("validate/density/CL1")}
    assert len(steps) == expected
    scalars = [event.step for event in found.Scalars("validate/quantisation_error/CL1")]
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
    found = events(tmp_path / "alone")
    assert set(found.Tags()["images"]) == TAGS
    assert [event.step for event in found.Scalars("validate/quantisation_error/CL1")] == [0]


def test_a_single_class_and_no_logger(tmp_path, make_tree):
    root = make_tree({"val": 2}, classes=("ant",))
    trainer = make_trainer(tmp_path, MapPictures(), logger=False, default_root_dir=tmp_path)
    with pytest.warns(UserWarning, match="has a single class"):
        trainer.validate(make_module(), datamodule=make_data(root), verbose=False)
    assert not (tmp_path / "figures").exists(), "without a logger there is nothing to draw in"

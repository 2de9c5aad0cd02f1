from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks import AnalysisPictures, LossCurves, MapAnalysis, RunWriter, analysis_pictures
from callbacks.pictures import figure_tag
from tests.callbacks.conftest import TAPS, make_data, make_module, make_trainer
from tests.callbacks.events import pictures

ALWAYS = [
    "maps",
    "depth_profile",
    "u_matrix",
    "component_planes",
    "code_pca",
    "nearest_images_CL1",
    "nearest_images_CL2",
]
OF_CLASSES = ["bmus_by_class", "unfolded"]


def drawn(folder) -> set[str]:
    figures = folder / "figures"
    names = Counter(path.stem for path in figures.iterdir())
    assert set(names.values()) == {2}, "png and pdf"
    for path in figures.glob("*.png"):
        assert np.asarray(Image.open(path).convert("L")).std() > 3, f"{path.name} is blank"
    return set(names)


def analyse(folder, root, *, module=None, **settings):
    callbacks = (MapAnalysis(permutations=3), RunWriter(), AnalysisPictures())
    trainer = make_trainer(folder, *callbacks, **settings)
    trainer.validate(module or make_module(), datamodule=make_data(root), verbose=False)
    return folder / "run" / "v"


def test_every_figure_after_a_fit(tmp_path, make_tree):
    root = make_tree({"train": 4, "val": 3})
    trainer = make_trainer(tmp_path, LossCurves(), MapAnalysis(permutations=3), RunWriter(), AnalysisPictures())
    module, data = make_module(), make_data(root)
    trainer.fit(module, datamodule=data)
    folder = tmp_path / "run" / "v"
    assert not (folder / "figures").exists(), "only after an analysis"
    trainer.validate(module, datamodule=data, verbose=False)
    names = drawn(folder)
    assert names == {*ALWAYS, *OF_CLASSES, "center_distances", "losses"}
    shown = pictures(folder)
    tags = {figure_tag(name) for name in names if not name.startswith("nearest")}
    tags |= {f"1_maps/nearest_images/{depth}" for depth in TAPS}
    assert set(shown) == tags
    ((step, picture),) = shown["1_maps/maps"].items()
    assert step == trainer.global_step
    assert np.array_equal(picture, np.asarray(Image.open(folder / "figures" / "maps.png").convert("RGB")))
    assert len(list(folder.glob("*/*/sprite.png"))) == 2, "a projector a depth"


def test_the_nearest_image_stands_at_its_unit(tmp_path, make_tree, monkeypatch):
    root = make_tree({"val": 3})
    laid = {}
    original = analysis_pictures.mosaic
    monkeypatch.setattr(
        analysis_pictures, "mosaic", lambda ids, pictures: laid.setdefault(len(laid), (ids, original(ids, pictures)))[1]
    )
    module = make_module()
    analyse(tmp_path, root, module=module)
    data = make_data(root)
    data.setup("validate")
    batch = torch.utils.data.default_collate([data.val_dataloader().dataset[k] for k in range(9)])
    found = module({"image": batch["image"]}["image"].float() / 255)
    for number, depth in enumerate(TAPS):
        ids, picture = laid[number]
        winners = found[depth]
        for unit in range(12):
            here = (winners.bmu == unit).nonzero()[:, 0]
            expected = -1 if len(here) == 0 else int(here[winners.distance[here].argmin()])
            assert ids[unit // 4, unit % 4] == expected
            tile = picture[64 * (unit // 4) :, 64 * (unit % 4) :][:64, :64]
            if expected >= 0:
                colours = batch["image"][expected].float().mean((1, 2)).numpy()
                np.testing.assert_allclose(tile.mean((0, 1)), colours, atol=3)


@pytest.mark.parametrize(
    ("splits", "classes", "absent"),
    [
        ({"val": 2}, ("ant",), {"center_distances", "losses"}),
        ({"val": 1}, ("ant", "bee"), {"losses"}),
        ({"val": 1}, ("ant",), {"center_distances", "losses", "depth_profile"}),
    ],
)
def test_small_data(tmp_path, make_tree, splits, classes, absent, recwarn):
    names = drawn(analyse(tmp_path, make_tree(splits, classes)))
    assert names == {*ALWAYS, *OF_CLASSES, "center_distances", "losses"} - absent
    assert not [str(each.message) for each in recwarn if "could not be drawn" in str(each.message)]


def test_a_class_without_validation_images(tmp_path, make_tree):
    root = make_tree({"train": 2, "val": 2})
    for path in (root / "val" / "bee").iterdir():
        path.unlink()
    names = drawn(analyse(tmp_path, root))
    assert {*ALWAYS, *OF_CLASSES, "center_distances"} == names


def test_all_on_one_unit(tmp_path, make_tree):
    module = make_module()
    for som in module.maps.values():
        with torch.no_grad():
            som.prototypes[1:] = 1e6
    names = drawn(analyse(tmp_path, make_tree({"val": 3}), module=module))
    assert {*ALWAYS, *OF_CLASSES, "center_distances"} == names


def test_no_logger(tmp_path, make_tree):
    analyse(tmp_path, make_tree({"val": 2}), logger=False, default_root_dir=tmp_path)
    assert (tmp_path / "figures" / "maps.png").exists()


def test_a_picture_that_fails_costs_the_run_nothing(tmp_path, make_tree, monkeypatch):
    def fail(*args):
        raise RuntimeError("no ink")

    monkeypatch.setattr(analysis_pictures, "u_matrix_figure", fail)
    with pytest.warns(UserWarning, match="the picture 'u_matrix' could not be drawn: RuntimeError: no ink"):
        folder = analyse(tmp_path, make_tree({"val": 3}))
    assert drawn(folder) == {*ALWAYS, *OF_CLASSES, "center_distances"} - {"u_matrix"}

"""Whole runs through the command line's `train.main([...])`, in this process."""

import json
import re

import pandas as pd
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

import train
from callbacks.chart_layout import CURVES
from callbacks.pictures import figure_tag
from codes import CATALOG, Preprocessing
from tests.callbacks.events import pictures
from tests.conftest import write_tree
from tests.tiny import DOTTED
from tests.whole_runs import (  # noqa: F401 (fixtures)
    ATTACK,
    FIGURES,
    ROOT,
    SCALARS,
    assert_whole,
    finish,
    options,
    own_argv,
    run_folder,
    tree,
)

PICTURES = ("density", "regions", "bmus_by_class")
ANALYSIS = (
    *("maps", "bmus_by_class", "unfolded", "code_pca", "center_distances", "depth_profile", "losses"),
    *("u_matrix", "component_planes"),
)
PICTURED = {"figures", "projector_config.pbtxt"}
SUCCEEDED = ("separation_fgsm", "trajectories_fgsm")  # where an attack brought an image down
PAPER = ("resnet18", "resnet50", "vgg19", "densenet121")


@pytest.fixture(scope="module")
def finished(own_argv, tree, tmp_path_factory):
    """A run that draws all of its pictures."""
    return finish(tree, tmp_path_factory.mktemp("finished"), pictures="true")


def catalog(backbone, **changes):
    return {"model.backbone": backbone, "model.weights": "none", "model.taps": None} | changes


def test_dotted_depths_run_the_whole_pipeline(finished):
    assert_whole(finished[1], DOTTED)


@pytest.mark.parametrize(
    "backbone",
    [
        "efficientnet_lite0",
        "resnet18",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet50", "vgg19", "densenet121")),
    ],
)
def test_the_papers_backbones_run_the_whole_pipeline(tree, tmp_path, backbone):
    cli = train.main(options(tree, tmp_path, **catalog(backbone)))
    assert_whole(run_folder(cli), ("CL1", "CL2", "CL3", "CL4"))


def test_another_rule_start_and_neighbourhood_run_the_whole_pipeline(tree, tmp_path, capsys):
    words = options(tree, tmp_path, trainer__max_epochs=2)
    capsys.readouterr()
    cli = train.main([*words, "--model.rule=batch", "--model.neighbourhood=wrapped_gaussian", "--model.init=pca"])
    output = capsys.readouterr().out
    assert_whole(run_folder(cli), DOTTED)
    (som, _) = cli.model.maps.values()
    assert (cli.model.rule, som.neighbourhood, cli.model.hparams["init"]) == ("batch", "wrapped_gaussian", "pca")
    assert cli.trainer.global_step == 6
    assert "Maps, on the validation images" in output
    table = output[output.index("Maps, on") :].splitlines()
    for depth in DOTTED:
        (row,) = (line for line in table[:6] if line.split()[:1] == [depth])
        error = cli.model.results["quantisation_error"][depth]
        assert float(row.split()[1]) == pytest.approx(error, rel=0.01)
        assert 0 < error < 10


def test_a_single_class_runs_the_whole_pipeline(tmp_path):
    tree = write_tree(tmp_path / "images", {"train": 6, "val": 3}, classes=("ant",))
    with pytest.warns(UserWarning, match="has a single class, 'ant'"):
        cli = train.main(options(tree, tmp_path / "runs", pictures="true"))
    folder = run_folder(cli)
    measures = json.loads((folder / "measures.json").read_text())
    assert set(measures["validate"]["collision_lift"].values()) == {None}, "undefined between classes"
    assert all(value > 0 for value in measures["validate"]["quantisation_error"].values())
    assert measures["test"]["images"] == 3
    assert measures["test"]["clean_accuracy"] is None, "the backbone was not trained on these classes"
    assert len(pd.read_parquet(folder / "bmus.parquet")) == 2 * 3
    assert {f"figures/{name}.png" for name in FIGURES} <= {
        str(path.relative_to(folder)) for path in folder.rglob("*.png")
    }


def test_the_closing_table_and_the_folder_are_printed(finished):
    _, folder, output = finished
    assert f"the run's folder: {folder}" in output
    assert "Maps, on the validation images" in output
    assert "fgsm" in output


def test_tensorboard_tags_are_exactly_these(finished):
    folder = finished[1]
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()
    expected = {"fit/sigma", "fit/alpha", "epoch", "test/robust_accuracy/fgsm"}
    for depth in DOTTED:
        expected |= {f"fit/energy/{depth}", f"test/fgsm_displacement/{depth}", f"test/fgsm_control/{depth}"}
        expected |= {f"test/fgsm_amplification/{depth}"}
        expected |= {f"fit/relative_energy/{depth}", *(f"validate/{quantity}/{depth}" for quantity in SCALARS)}
    measured = json.loads((folder / "measures.json").read_text())["validate"]
    bounds, matrices = ("_low", "_high", "_null_mean", "_p_value"), ("cka_", "rsa_")
    for name in measured.keys() - {"units"}:
        if not name.endswith(bounds) and not name.startswith(matrices):
            defined = {depth for depth, value in measured[name].items() if value is not None}
            expected |= {f"validate/{name}/{depth}" for depth in defined}
    undefined = {f"validate/{name}/{depth}" for name in SCALARS for depth in DOTTED if measured[name][depth] is None}
    assert set(events.Tags()["scalars"]) == expected - undefined
    growth = {f"4_growth/{name}/{depth}" for name in PICTURES for depth in DOTTED}
    growth |= {f"1_maps/nearest_images/{depth}" for depth in DOTTED}
    assert set(pictures(folder)) == growth | {figure_tag(name) for name in (*ANALYSIS, *ATTACK, *SUCCEEDED)}
    assert [event.step for event in events.Scalars("fit/sigma")] == [0, 1, 2]
    sigmas = [event.value for event in events.Scalars("fit/sigma")]
    assert sigmas == pytest.approx([2, 2 * 0.35 ** (1 / 3), 2 * 0.35 ** (2 / 3)], rel=1e-5)

    layout = layout_pb2.Layout()
    (event,) = events.Tensors("custom_scalars__config__")
    layout.ParseFromString(event.tensor_proto.string_val[0])
    maps, attacks = (
        {chart.title: list(chart.multiline.tag) for chart in category.chart} for category in layout.category
    )
    assert len(maps) == len(CURVES)
    for patterns, curve in zip(maps.values(), CURVES.values(), strict=True):
        tags = {tag for tag in expected if any(re.match(pattern, tag) for pattern in patterns)}
        assert tags == {f"{curve}/{depth}" for depth in DOTTED}, "a chart shows one curve a depth and no other"
    shown = [{tag for tag in expected if re.match(pattern, tag)} for (pattern,) in attacks.values()]
    assert shown == [{"test/robust_accuracy/fgsm"}] + [
        {f"test/fgsm_displacement/{depth}", f"test/fgsm_control/{depth}"} for depth in DOTTED
    ]


def test_the_saved_config_runs_again_without_pictures_and_gives_equal_measures(finished, tmp_path):
    _, folder, _ = finished
    words = ["--pictures=false", f"--trainer.logger.init_args.save_dir={tmp_path}"]
    cli = train.main(["--config", str(folder / "config.yaml"), *words])
    again = run_folder(cli)
    assert again.is_relative_to(tmp_path)
    assert json.loads((again / "measures.json").read_text()) == json.loads((folder / "measures.json").read_text())
    for file in ("bmus.parquet", "adversarial.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(again / file), pd.read_parquet(folder / file))
    tensors = EventAccumulator(str(again)).Reload().Tags()["tensors"]
    assert not any(tag.startswith(("1_", "2_", "3_", "4_")) for tag in tensors), "no picture"
    assert {path.name for path in folder.iterdir()} - {path.name for path in again.iterdir()} >= PICTURED


def test_images_are_prepared_as_the_backbone_wants_them(tree, tmp_path):
    own = {"data.resize": None, "data.crop": None, "trainer.limit_train_batches": 1, "trainer.limit_val_batches": 1}
    cli = train.main(options(tree, tmp_path, stages="[]", **own, **{"model.mean": "[0.5, 0.4, 0.3]"}))
    assert cli.model.extractor.backbone.preprocessing == Preprocessing(mean=(0.5, 0.4, 0.3))
    assert cli.datamodule.preprocessing == Preprocessing(mean=(0.5, 0.4, 0.3)), "bilinear, as torchvision's are"
    assert cli.datamodule.val_dataloader().dataset[0]["image"].shape == (3, 224, 224)
    saved = yaml.safe_load((run_folder(cli) / "config.yaml").read_text())["data"]
    assert (saved["resize"], saved["crop"], saved["interpolation"]) == (None, None, None)
    cli = train.main(options(tree, tmp_path, stages="[]"))
    wanted = cli.datamodule.preprocessing
    assert (wanted.resize, wanted.crop, wanted.interpolation) == (36, 32, "bilinear")


def test_the_quickstart_prepares_images_as_efficientnet_lite_wants_them():
    own = CATALOG["efficientnet_lite0"].preprocessing
    assert (own.resize, own.crop, own.interpolation) == (256, 224, "bicubic")
    settings = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text())
    assert settings["model"]["backbone"] == "efficientnet_lite0"
    assert not {"resize", "crop", "interpolation"} & settings["data"].keys()


def test_a_crop_that_the_backbone_does_not_take_is_refused(tree, tmp_path):
    with pytest.raises(ValueError, match=r"images of 32 x 32 pixels do not go through 'timm/vit_tiny_.*own size, 224"):
        train.main(options(tree, tmp_path, **catalog("timm/vit_tiny_patch16_224")))

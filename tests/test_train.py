"""The command line, in this process through `train.main([...])` unless the process itself is what is tested."""

import contextlib
import functools
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from pytorch_lightning import Trainer
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

import train
from callbacks.chart_layout import CURVES
from callbacks.pictures import figure_tag
from callbacks.report import closing_table
from codes import CATALOG, Preprocessing
from lightning_modules import CodeSOM
from tests.callbacks.events import pictures
from tests.conftest import write_tree
from tests.tiny import DOTTED

ROOT = Path(train.__file__).parent
SCALARS = (
    "quantisation_error",
    "explained_variance",
    "topographic_error",
    "effective_units",
    "collision_lift",
    "distance_ratio",
    "relative_quantisation_error",
    "dead_channels",
)
PICTURES = ("density", "regions", "bmus_by_class")
ANALYSIS = (
    *("maps", "bmus_by_class", "unfolded", "code_pca", "center_distances", "depth_profile", "losses"),
    *("u_matrix", "component_planes"),
)
ATTACK = ("robust_accuracy", "displacement", "amplification", "attacked_maps")
SUCCEEDED = ("separation_fgsm", "trajectories_fgsm")  # where an attack brought an image down
FIGURES = ("maps", "bmus_by_class", *ATTACK)
PAPER = ("resnet18", "resnet50", "vgg19", "densenet121")


@pytest.fixture(autouse=True, scope="module")
def own_argv():
    """LightningCLI warns where arguments are given both to it and to the process: here to pytest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py"])
        yield


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("data") / "images", {"train": 4, "val": 2, "test": 1})


def options(tree, folder, **changes):
    """A run of 3 steps on 3 x 4 maps of a tiny backbone; changes replace values, None leaves a key out."""
    settings = {
        "model.backbone": "tests.tiny:Tiny",
        "model.taps": json.dumps(DOTTED),
        "model.rows": 3,
        "model.cols": 4,
        "model.sigma": "[2, 0.7]",
        "data.root": tree,
        "data.batch_size": 4,
        "data.resize": 36,
        "data.crop": 32,
        "data.num_workers": 0,
        "analysis.permutations": 9,
        "attack.attacks": "[fgsm]",
        "attack.epsilons": "[8]",
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.max_epochs": 1,
        "trainer.log_every_n_steps": 1,
        "trainer.enable_progress_bar": "false",
        "trainer.enable_model_summary": "false",
        "trainer.logger.init_args.save_dir": folder,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return [f"--{key}={value}" for key, value in settings.items() if value is not None]


def catalog(backbone, **changes):
    return {"model.backbone": backbone, "model.weights": "none", "model.taps": None} | changes


def run_folder(cli):
    return Path(cli.trainer.log_dir)


def assert_whole(folder, depths):
    """Everything that design.md lists under "what a run leaves behind", and that it holds what it should."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = {
        "config.yaml",
        "checkpoints/last.ckpt",
        "maps.safetensors",
        "bmus.parquet",
        "measures.json",
        "images.parquet",
    }
    expected |= {"adversarial.parquet"} | {f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")}
    assert expected <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert not any(".part" in name for name in names), "nothing half-written"
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    os.umask(umask := os.umask(0))
    assert modes == {0o666 & ~umask}, "every file follows the umask"

    settings = yaml.safe_load((folder / "config.yaml").read_text())
    assert (settings["model"]["rows"], settings["model"]["cols"]) == (3, 4)
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert not any(name.startswith("extractor") for name in checkpoint["state_dict"])
    with safe_open(folder / "maps.safetensors", "np") as maps:
        assert maps.metadata()["depths"] == ",".join(depths)
        kept = [maps.get_tensor(f"{depth}/prototypes") for depth in depths]
    for number, prototypes in enumerate(kept):
        assert prototypes.shape[0] == 12
        np.testing.assert_array_equal(prototypes, checkpoint["state_dict"][f"_maps.{number}.prototypes"].numpy())
    bmus = pd.read_parquet(folder / "bmus.parquet")
    assert list(bmus["depth"].unique()) == sorted(depths)
    for _, rows in bmus.groupby("depth"):
        assert rows["id"].tolist() == list(range(6))
        assert rows["label"].tolist() == [0, 0, 1, 1, 2, 2]
    assert bmus["row"].between(0, 2).all()
    assert bmus["col"].between(0, 3).all()
    measures = json.loads((folder / "measures.json").read_text())
    for quantity in SCALARS:
        assert measures["validate"][quantity].keys() == set(depths)
    for depth, rows in bmus.groupby("depth"):
        assert measures["validate"]["quantisation_error"][depth] == pytest.approx(rows["distance"].mean(), rel=1e-5)
        assert measures["validate"]["effective_units"][depth] >= 1
    ledger = pd.read_parquet(folder / "adversarial.parquet")
    assert ledger["id"].tolist() == [0, 1, 2]
    kinds = ("clean", "adversarial", "control")
    assert {f"{depth}_{kind}_{axis}" for depth in depths for kind in kinds for axis in ("row", "col")} <= set(ledger)
    assert measures["test"]["attacks"].keys() == {"fgsm"}


@pytest.fixture(scope="module")
def finished(own_argv, tree, tmp_path_factory):
    """One whole run on dotted depths, for every test that only reads it."""
    folder = tmp_path_factory.mktemp("finished")
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        cli = train.main(options(tree, folder))
    return cli, run_folder(cli), output.getvalue()


# ---------------------------------------------------------------------------------------------- whole runs


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


# ---------------------------------------------------------------------------------------- what runs, and when


def test_without_a_subcommand_fit_runs_and_argv_stays(tree, tmp_path, monkeypatch):
    words = options(tree, tmp_path, stages="[]")
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    cli = train.main()
    assert cli.config.subcommand == "fit"
    assert cli.trainer.state.fn == "fit"
    # Lightning's DDP executes sys.argv again in its child processes.
    assert sys.argv == ["train.py", *words]


def test_the_subcommand_fit_runs_alone(tree, tmp_path):
    cli = train.main(["fit", *options(tree, tmp_path)])
    assert cli.config.fit.stages == []
    assert cli.trainer.state.fn == "fit"
    assert not (run_folder(cli) / "measures.json").exists()
    assert train._with_subcommand(["fit", "--stages", "[analyse]"]) == ["fit", "--stages", "[analyse]"]


def test_the_analysis_has_options(tree, tmp_path):
    words = {"stages": "[analyse]", "analysis.train_pass": "false", "analysis.samples": 4}
    cli = train.main(options(tree, tmp_path, **words))
    found = json.loads((run_folder(cli) / "measures.json").read_text())["validate"]
    assert "label_transfer" not in found
    assert set(found["sampled_codes"].values()) == {4}
    assert "label transfer" not in closing_table({"validate": found})
    with pytest.raises(ValueError, match="permutations must be 1 or more"):
        train.main(options(tree, tmp_path, **{"analysis.permutations": 0}))


@pytest.mark.parametrize(("stages", "left"), [([], set()), (["analyse"], {"validate"}), (["attack"], {"test"})])
def test_stages_choose_what_follows_a_fit(tree, tmp_path, stages, left):
    cli = train.main(options(tree, tmp_path, stages=json.dumps(stages)))
    folder = run_folder(cli)
    assert (folder / "checkpoints" / "last.ckpt").exists()
    path = folder / "measures.json"
    assert (json.loads(path.read_text()).keys() if path.exists() else set()) == left
    assert (folder / "bmus.parquet").exists() == ("validate" in left)
    assert (folder / "adversarial.parquet").exists() == ("test" in left)


def test_validate_and_test_run_alone_from_a_checkpoint(finished, tree, tmp_path):
    _, whole, _ = finished
    expected = json.loads((whole / "measures.json").read_text())
    checkpoint = {"ckpt_path": whole / "checkpoints" / "last.ckpt"}
    for stage, file in (("validate", "bmus.parquet"), ("test", "adversarial.parquet")):
        folder = run_folder(train.main([stage, *options(tree, tmp_path / stage, **checkpoint)]))
        assert json.loads((folder / "measures.json").read_text()) == {stage: expected[stage]}
        pd.testing.assert_frame_equal(pd.read_parquet(folder / file), pd.read_parquet(whole / file))
        assert not (folder / "checkpoints").exists()


def test_predict_writes_codes_and_keeps_none_in_memory(finished, tree, tmp_path, monkeypatch):
    cli, _, _ = finished
    returned = []
    predict = Trainer.predict

    @functools.wraps(predict)  # LightningCLI reads the signature
    def spy(self, *args, **kwargs):
        returned.append(predict(self, *args, **kwargs))
        return returned[-1]

    monkeypatch.setattr(Trainer, "predict", spy)
    train.main(["predict", *options(tree, tmp_path)])
    assert returned == [None], "codes of all images would fill the memory: CodeWriter streams them to disk"
    (folder,) = (tmp_path / "codes").iterdir()
    for split, count in (("train", 12), ("val", 6)):
        assert np.load(folder / split / "ids.npy").tolist() == list(range(count))
        for depth in DOTTED:
            width = cli.model.extractor.dimensions[depth]
            assert np.load(folder / split / f"{depth}.npy").shape == (count, width)


def test_a_stage_without_maps_says_what_to_give(tree, tmp_path):
    with pytest.raises(ValueError, match=r"the maps are empty: .*--ckpt_path"):
        train.main(["validate", *options(tree, tmp_path)])


# ------------------------------------------------------------------------------------------- interruptions


@pytest.mark.parametrize("rule", ["gradient", "batch", "ema"])
def test_a_fit_that_dies_goes_on_from_its_last_epoch(tree, tmp_path, monkeypatch, rule):
    settings = {"stages": "[]", "trainer.max_epochs": 3, "model.rule": rule, "model.alpha": "[0.9, 0.5]"}
    whole = train.main(options(tree, tmp_path / "whole", **settings))
    step = CodeSOM.training_step

    def dies(self, batch, batch_idx):
        if self.current_epoch == 1 and batch_idx == 1:
            raise RuntimeError("out of memory")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(CodeSOM, "training_step", dies)
        with pytest.raises(RuntimeError, match="out of memory"):
            train.main(options(tree, tmp_path / "dead", **settings))
    (folder,) = (tmp_path / "dead").rglob("checkpoints")
    assert [path.name for path in folder.iterdir()] == ["last.ckpt"]
    path = folder / "last.ckpt"
    kept = path.read_bytes()

    with pytest.warns(UserWarning, match="maps are of an unfinished fit: 1 of 3 epochs are done"):
        train.main(["validate", *options(tree, tmp_path / "early", **settings | {"stages": None}, ckpt_path=path)])
    resumed = train.main(options(tree, tmp_path / "resumed", **settings, ckpt_path=path))
    (last,) = (run_folder(resumed) / "checkpoints").iterdir()
    ends = [torch.load(p, weights_only=True) for p in (last, run_folder(whole) / "checkpoints" / "last.ckpt")]
    assert ends[0]["samples_seen"] == ends[1]["samples_seen"] == 36
    assert ends[0]["global_step"] == ends[1]["global_step"] == 9
    assert ends[0]["state_dict"].keys() == ends[1]["state_dict"].keys()
    for name, value in ends[0]["state_dict"].items():
        assert torch.equal(value, ends[1]["state_dict"][name]), name
    assert path.read_bytes() == kept, "the dead run's own checkpoint stays as it was"


def test_the_checkpoint_is_written_after_every_epoch_and_its_validation(tree, tmp_path, monkeypatch):
    events = []
    save, validated = Trainer.save_checkpoint, CodeSOM.on_validation_epoch_end

    def saved(self, path, **settings):
        events.append(Path(path).name)
        save(self, path, **settings)

    monkeypatch.setattr(Trainer, "save_checkpoint", saved)
    monkeypatch.setattr(CodeSOM, "on_validation_epoch_end", lambda self: events.append("validated") or validated(self))
    words = {"trainer.max_epochs": 3, "trainer.num_sanity_val_steps": 0}
    cli = train.main(options(tree, tmp_path, stages="[]", **words))
    assert events == ["validated", ".last.ckpt.part"] * 3
    assert torch.load(run_folder(cli) / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 9


def test_max_steps_end_the_schedules(tree, tmp_path):
    cli = train.main(options(tree, tmp_path, stages="[analyse]", **{"trainer.max_epochs": 3, "trainer.max_steps": 4}))
    events = EventAccumulator(str(run_folder(cli)), size_guidance={"scalars": 0}).Reload()
    sigmas = [event.value for event in events.Scalars("fit/sigma")]
    assert sigmas == pytest.approx([2 * 0.35 ** (step / 4) for step in range(4)], rel=1e-5)


# ------------------------------------------------------------------------------------------------ the data


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


def test_a_single_class_runs_the_whole_pipeline(tmp_path):
    tree = write_tree(tmp_path / "images", {"train": 6, "val": 3}, classes=("ant",))
    with pytest.warns(UserWarning, match="has a single class, 'ant'"):
        cli = train.main(options(tree, tmp_path / "runs"))
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


# ------------------------------------------------------------------------------------------- configurations


def test_the_saved_config_runs_again_and_gives_equal_measures(finished, tmp_path):
    _, folder, _ = finished
    cli = train.main(["--config", str(folder / "config.yaml"), f"--trainer.logger.init_args.save_dir={tmp_path}"])
    again = run_folder(cli)
    assert again.is_relative_to(tmp_path)
    assert json.loads((again / "measures.json").read_text()) == json.loads((folder / "measures.json").read_text())
    for file in ("bmus.parquet", "adversarial.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(again / file), pd.read_parquet(folder / file))


def command(*words, folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words], cwd=folder, env=environment, capture_output=True, text=True
    )


MISTAKES = [
    (
        {"data.root": "nowhere"},
        "data.root 'nowhere' is not a folder: give one that holds train/ and val/ class folders",
    ),
    ({"model.backbone": "resnet19"}, "backbone 'resnet19' is unknown; did you mean"),
    ({"ckpt_path": "nowhere.ckpt"}, "--ckpt_path 'nowhere.ckpt' is not a file"),
    ({"model.taps": "[firts]"}, "layer 'firts' is not a module of"),
    ({"data.batch_size": 13}, "data.batch_size 13 exceeds the 12 training images"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_a_users_mistake_is_one_line(tree, tmp_path, monkeypatch, capsys, changes, message):
    words = options(tree, tmp_path, **changes)
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    assert train.run() == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("train.py: error:"))
    assert line.startswith(f"train.py: error: {message}")

    monkeypatch.setattr(sys, "argv", ["train.py", *words, "--debug"])
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        train.run()


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "message"), MISTAKES[:2])
def test_a_users_mistake_in_a_shell_shows_no_traceback(tree, tmp_path, changes, message):
    result = command(*options(tree, tmp_path, **changes), folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"train.py: error: {message}")
    assert "Traceback" not in result.stderr + result.stdout


@pytest.mark.slow
def test_the_command_itself_runs(tree, tmp_path):
    result = command(*options(tree, "runs"), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "the run's folder: runs/somscope/version_0" in result.stdout
    assert "Warning" not in result.stderr
    assert "Tip" not in result.stderr + result.stdout
    assert_whole(tmp_path / "runs" / "somscope" / "version_0", DOTTED)

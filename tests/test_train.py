"""The command line, in this process through `train.main([...])` unless the process itself is what is tested."""

import contextlib
import functools
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
from argparse import ArgumentError
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningCLI
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

import train
from callbacks.report import closing_table
from codes import CATALOG, Preprocessing
from lightning_modules import CodeSOM, code_som
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
FIGURES = ("maps", "bmus_by_class", "robust_accuracy", "displacement")
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
            expected |= {f"validate/{name}/{depth}" for depth in DOTTED}
    assert set(events.Tags()["scalars"]) == expected
    pictures = {f"validate/{name}/{depth}" for name in (*PICTURES, "nearest_images") for depth in DOTTED}
    assert set(events.Tags()["images"]) == pictures | {f"validate/{name}" for name in ANALYSIS}
    assert [event.step for event in events.Scalars("fit/sigma")] == [0, 1, 2]
    sigmas = [event.value for event in events.Scalars("fit/sigma")]
    assert sigmas == pytest.approx([2, 2 * 0.35 ** (1 / 3), 2 * 0.35 ** (2 / 3)], rel=1e-5)

    layout = layout_pb2.Layout()
    (event,) = events.Tensors("custom_scalars__config__")
    layout.ParseFromString(event.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    curves = ["fit/energy", "fit/relative_energy", *(f"validate/{quantity}" for quantity in SCALARS[:6])]
    assert len(charts) == len(curves)
    for patterns, curve in zip(charts.values(), curves, strict=True):
        for depth in DOTTED:
            tags = [tag for tag in expected if any(re.search(pattern, tag) for pattern in patterns)]
            assert f"{curve}/{depth}" in tags
        assert len(tags) == len(DOTTED), "a chart shows one curve a depth and no other"


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


def printed(capsys, *words):
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        train.main(list(words))
    assert exit_.value.code == 0
    return capsys.readouterr().out


def test_the_printed_config_can_be_fed_back(tree, tmp_path, capsys):
    words = options(tree, tmp_path, stages="[]", seed_everything=3)
    text = printed(capsys, *words, "--print_config")
    settings = yaml.safe_load(text)
    assert settings["model"]["sigma"] == [2.0, 0.7]
    assert settings["data"]["root"] == str(tree)
    assert settings["stages"] == []
    path = tmp_path / "printed.yaml"
    path.write_text(text)
    assert yaml.safe_load(printed(capsys, f"--config={path}", "--print_config")) == settings
    fed = train.main([f"--config={path}"])
    direct = train.main(words)
    assert (fed.model.seed, fed.datamodule.seed) == (3, 3)
    for depth, som in fed.model.maps.items():
        assert torch.equal(som.prototypes, direct.model.maps[depth].prototypes)


def test_one_seed_reaches_every_section(tree, tmp_path):
    cli = train.main(options(tree, tmp_path, seed_everything=5, stages="[]"))
    (attack,) = (each for each in cli.trainer.callbacks if type(each).__name__ == "FoolboxEvaluation")
    assert [cli.model.seed, cli.datamodule.seed, attack.seed] == [5, 5, 5]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_parses(path, capsys):
    settings = yaml.safe_load(printed(capsys, f"--config={path}", "--print_config"))
    given = yaml.safe_load(path.read_text())
    assert settings["model"] | given.get("model", {}) == settings["model"]
    head = path.read_text().split("\n", 1)[0]
    assert head.startswith("# "), "the head comment says what it is"
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("Data", "Cost", "Expect", "Command"):
        assert any(re.match(rf"# {word}: +\S", line) for line in comments), f"the head comment says {word}"


def help_of(capsys, monkeypatch, *words):
    monkeypatch.setenv("COLUMNS", "100000")  # one line an option
    return printed(capsys, *words, "--help")


@pytest.mark.parametrize("subcommand", ["fit", "predict"])
def test_every_option_is_documented(capsys, monkeypatch, subcommand):
    text = help_of(capsys, monkeypatch, subcommand)
    body = text[text.index("\noptions:") :]
    found = re.findall(r"^  (--(?:model|data|attack|checkpoint|stages)[^\n]*?)(?:  +|\n +)([^\n]*)$", body, re.M)
    described = {head.split()[0].rstrip(","): words for head, words in found}
    for name in ("backbone", "weights", "taps", "statistics", "standardise", "rows", "cols", "topology", "init"):
        assert f"--model.{name}" in described
    assert len(described) > 30
    bare = [name for name, words in described.items() if not re.match(r"\s*[^\s(]", words)]
    assert bare == [], "options without a word of help"
    # Values that links set are listed with their meaning too.
    assert len(re.findall(r"--> (?:model|data|attack)\.seed .*\n +\w+", body)) == 3


def test_help_without_a_subcommand_is_that_of_fit(capsys, monkeypatch):
    text = help_of(capsys, monkeypatch)
    assert "--stages" in text
    assert "--model.backbone" in text
    assert text == help_of(capsys, monkeypatch, "fit")


# ------------------------------------------------------------------------------------------------- refusals


def test_a_checkpoint_of_other_settings_is_refused_naming_every_key(finished, tree, tmp_path):
    changes = {"ckpt_path": finished[1] / "checkpoints" / "last.ckpt", "model.rows": 4, "model.sigma": "[3, 0.7]"}
    with pytest.raises(ValueError, match="the settings do not fit --ckpt_path") as error:
        train.main(["validate", *options(tree, tmp_path, **changes, seed_everything=1)])
    message = str(error.value)
    assert "model.rows is 4 here, 3 in the checkpoint" in message
    assert re.search(r"model\.sigma is [\[(]3\.0, 0\.7[\])] here, [\[(]2\.0, 0\.7[\])] in the checkpoint", message)
    assert "seed_everything is 1 here, 0 in the checkpoint" in message
    assert message.count(" in the checkpoint") == 3, "and nothing that agrees"
    assert not list(tmp_path.rglob("*.parquet")), "before anything runs"


def test_lightnings_private_hook_is_still_there():
    """`_parse_ckpt_path` is not public: where it went, a checkpoint would silently override settings again."""
    assert "_parse_ckpt_path" in vars(LightningCLI)
    assert list(inspect.signature(LightningCLI._parse_ckpt_path).parameters) == ["self"]
    assert "self._parse_ckpt_path()" in inspect.getsource(LightningCLI.__init__)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 torn"])
def test_a_file_that_is_no_checkpoint_is_refused(tree, tmp_path, content):
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"--ckpt_path '.*broken\.ckpt' is no checkpoint of a fit"):
        train.main(["validate", *options(tree, tmp_path, ckpt_path=path)])


def test_a_file_of_something_else_is_refused(tree, tmp_path):
    path = tmp_path / "weights.ckpt"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(ValueError, match=r"--ckpt_path '.*weights\.ckpt' is no checkpoint of a fit"):
        train.main(["validate", *options(tree, tmp_path, ckpt_path=path)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.row": 3}, "model.row"),
        ({"stages": "[analyze]"}, "analyze"),
        ({"model.topology": "sphere"}, "sphere"),
        ({"model.rows": "three"}, "three"),
        ({"model.sigma": "[1, 2, 3]"}, "model.sigma"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_unknown_keys_and_values_are_refused_by_name(tree, tmp_path, capsys, changes, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        train.main(options(tree, tmp_path, **changes))
    assert capsys.readouterr().err == "", "no usage of a hundred lines"


def test_a_misspelled_key_ends_the_command_in_one_line(tree, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", *options(tree, tmp_path), "--model.row=3"])
    assert train._run() == 2
    assert capsys.readouterr().err == "train.py: error: unrecognized arguments: --model.row=3\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.rows": 0}, "rows=0"),
        ({"model.sigma": "[0, 1]"}, r"sigma is \[0.0, 1.0\]"),
        ({"model.alpha": "[-1, 1]"}, "alpha is"),
        ({"model.taps": "[firts]"}, "did you mean 'first'"),
        ({"data.batch_size": 13}, "batch_size 13 exceeds the 12 training images"),
        ({"data.resize": 20}, "data.resize is 20: it must be at least 32"),
        ({"attack.epsilons": "[0]"}, r"attack\.epsilons has 0"),
        ({"attack.attacks": "[cw]"}, "attack 'cw' is unknown; there are fgsm, "),
    ],
)
def test_values_out_of_range_are_refused(tree, tmp_path, changes, message):
    with pytest.raises((ValueError, SystemExit), match=message):
        train.main(options(tree, tmp_path, **changes))
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.root": "nowhere"}, "data.root 'nowhere' is not a folder"),
        ({"data.batch_size": 0}, "data.batch_size is 0"),
        ({"attack.epsilons": "[1, 1.01]"}, "which share a step of TensorBoard's axis"),
        ({"model.rows": 0}, "rows=0"),
        ({"model.statistics": "[]"}, "statistics is empty"),
    ],
)
def test_cheap_checks_come_before_the_backbone_and_leave_no_folder(tree, tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr(code_som, "load_backbone", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError), match=message):
        train.main(options(tree, tmp_path / "runs", **changes))
    assert not (tmp_path / "runs").exists()


def test_what_cannot_be_attacked_is_refused_before_the_fit(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_run", None)
    features = {"model.backbone": "tests.callbacks.factories:features", "model.taps": "[first]"}
    with pytest.raises(ValueError, match="gives no logits, so it cannot be attacked: leave the attack stage out"):
        train.main(options(tree, tmp_path / "runs", **features))
    broken = shutil.copytree(tree, tmp_path / "images")
    (broken / "test" / "bee" / "000.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match="1 of 3 images cannot be read"):
        train.main(options(broken, tmp_path / "runs", data__on_corrupt="error"))
    assert not (tmp_path / "runs").exists()


def test_without_the_attack_stage_nothing_of_it_is_checked(tree, tmp_path):
    features = {"model.backbone": "tests.callbacks.factories:features", "model.taps": "[first]"}
    cli = train.main(options(tree, tmp_path, stages="[analyse]", **features))
    assert (run_folder(cli) / "bmus.parquet").exists()


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_without_a_checkpoint_no_image_is_passed(tree, tmp_path, monkeypatch, stage):
    monkeypatch.setattr(Trainer, "_run", None)
    with pytest.raises(ValueError, match="the maps are empty: fit them first, or give the checkpoint of a fit"):
        train.main([stage, *options(tree, tmp_path / "runs")])
    assert not (tmp_path / "runs").exists()


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
    ({"data.batch_size": 13}, "batch_size 13 exceeds the 12 training images"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_a_users_mistake_is_one_line(tree, tmp_path, monkeypatch, capsys, changes, message):
    words = options(tree, tmp_path, **changes)
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    assert train._run() == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("train.py: error:"))
    assert line.startswith(f"train.py: error: {message}")

    monkeypatch.setattr(sys, "argv", ["train.py", *words, "--debug"])
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        train._run()


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

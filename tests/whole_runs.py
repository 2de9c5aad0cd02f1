"""Runs of `train.main([...])` on a tiny backbone and what they leave, for the tests of every file that needs one."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors import safe_open

import train
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
ATTACK = ("robust_accuracy", "displacement", "amplification", "attacked_maps")
FIGURES = ("maps", "bmus_by_class", *ATTACK)


@pytest.fixture(autouse=True, scope="module")
def own_argv():
    """LightningCLI warns where arguments are given both to it and to the process: here to pytest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py"])
        yield


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("data") / "images", {"train": 4, "val": 2, "test": 1})


@pytest.fixture(scope="module")
def finished(own_argv, tree, tmp_path_factory):
    """One whole run on dotted depths, for every test that only reads it."""
    return finish(tree, tmp_path_factory.mktemp("finished"))


def finish(tree, folder, **changes):
    """The command line of a whole run, its folder, its output."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        cli = train.main(options(tree, folder, **changes))
    return cli, run_folder(cli), output.getvalue()


def options(tree, folder, **changes):
    """A run of 3 steps on 3 x 4 maps of a tiny backbone, without pictures, which take longer than all the rest.

    Changes replace values, None leaves a key out.
    """
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
        "pictures": "false",
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
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    figures = {f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")}
    assert expected | {"adversarial.parquet"} | (figures if settings["pictures"] else set()) <= names
    assert settings["pictures"] or not any(name.startswith("figures") for name in names)
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert not any(".part" in name for name in names), "nothing half-written"
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    os.umask(umask := os.umask(0))
    assert modes == {0o666 & ~umask}, "every file follows the umask"

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

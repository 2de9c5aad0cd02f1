"""Fits from a store against fits from images, by command: same maps, one pass, any number of processes."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import train
from datamodules import CodeData, readable
from lightning_modules import CodeSOM
from tests.conftest import write_tree
from tests.lightning_modules.recording import Saver, assert_equal_states, state
from tests.tiny import make_model, make_trainer
from tests.two_processes import run_on
from tests.whole_runs import DOTTED, ROOT, options, own_argv, run_folder  # noqa: F401 (a fixture)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """15 images to fit, 9 to validate and 3 to attack."""
    return write_tree(tmp_path_factory.mktemp("data") / "images", {"train": 5, "val": 3, "test": 1})


@pytest.fixture(scope="module")
def filled(own_argv, tree, tmp_path_factory):  # noqa: F811
    """The folder of a store of all statistics."""
    base = tmp_path_factory.mktemp("stores")
    train.main(["predict", *options(tree, base / "runs", store=base)])
    (folder,) = (path for path in base.iterdir() if path.name != "runs")
    return folder


def forbid_images(patch):
    """From here on no image is decoded to fit or validate on, not even to check it."""
    check = readable.why_unreadable

    def only_attacked(samples, positions):
        assert all(samples.name(place).startswith("test/") for place in positions), "an image is opened"
        return check(samples, positions)

    patch.setattr(readable, "why_unreadable", only_attacked)


SETTINGS = [
    {"trainer.max_epochs": 2},
    pytest.param({"model.rule": "batch", "model.standardise": "false", "model.init": "pca"}, marks=pytest.mark.slow),
    {"model.statistics": "[com, max]", "model.rows": 2},
    {"model.statistics": "[mean]", "model.distance": "cosine"},
    pytest.param({"model.taps": f"[{DOTTED[1]}]"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("changes", SETTINGS, ids=lambda changes: "-".join(changes))
def test_maps_from_codes_are_those_from_images(filled, tree, tmp_path, monkeypatch, changes):
    images = train.main(options(tree, tmp_path / "images", **changes))
    forbid_images(monkeypatch)
    codes = train.main(options(tree, tmp_path / "codes", store=filled.parent, **changes))
    one, two = images.model, codes.model
    assert codes.datamodule.store.folder == filled
    for depth, som in one.maps.items():
        torch.testing.assert_close(two.maps[depth].prototypes, som.prototypes, rtol=1e-5, atol=1e-5)
        assert (som.prototypes - som.prototypes.mean(0)).abs().max() > 0.1, "maps that never moved agree too"
    folders = run_folder(images), run_folder(codes)
    bmus = [pd.read_parquet(folder / "bmus.parquet") for folder in folders]
    pd.testing.assert_frame_equal(bmus[1], bmus[0], rtol=1e-4)
    measures = [json.loads((folder / "measures.json").read_text()) for folder in folders]
    for quantity, values in measures[0]["validate"].items():
        for depth, value in values.items():
            expected = None if value is None else pytest.approx(value, rel=1e-4)
            assert measures[1]["validate"][quantity][depth] == expected, quantity
    assert (measures[0]["validate"]["dead_channels"][DOTTED[1]] > 0) == (
        "mean" not in changes.get("model.statistics", "")
    )
    assert measures[1]["test"].keys() == measures[0]["test"].keys(), "the attack runs on images"
    listed = [pd.read_parquet(folder / "images.parquet") for folder in folders]
    pd.testing.assert_frame_equal(listed[1], listed[0])


def test_a_fit_fills_its_store_first_and_only_once(tree, tmp_path, monkeypatch, capsys):
    words = {"store": tmp_path / "codes", "stages": "[]"}
    first = train.main(options(tree, tmp_path / "runs", **words))
    (folder,) = (tmp_path / "codes").iterdir()
    assert first.datamodule.store.folder == folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    forbid_images(monkeypatch)
    monkeypatch.setattr(CodeSOM, "predict_step", None)
    again = train.main(options(tree, tmp_path / "runs", **words))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    for depth, som in first.model.maps.items():
        assert torch.equal(again.model.maps[depth].prototypes, som.prototypes)
    capsys.readouterr()
    train.main(["predict", *options(tree, tmp_path / "runs", store=tmp_path / "codes")])
    assert f"the codes are in {folder}" in capsys.readouterr().out
    checkpoint = run_folder(first) / "checkpoints" / "last.ckpt"
    validated = train.main(
        ["validate", *options(tree, tmp_path / "runs", store=tmp_path / "codes", ckpt_path=checkpoint)]
    )
    assert validated.model.results["quantisation_error"][DOTTED[0]] > 0


def test_what_differs_is_named_and_gets_a_folder_of_its_own(filled, tree, tmp_path, caplog):
    base = tmp_path / "codes"
    base.mkdir()
    (base / filled.name).symlink_to(filled)
    train.main(["predict", *options(tree, tmp_path / "runs", store=base, **{"data.crop": 30})])
    assert f"The nearest, {filled.name}, differs: transform.crop is 32 there, 30 here" in caplog.text
    assert re.search(r"codes of 15 train \+ 9 val images at 2 depths: 2\.\d+ kB of float32 in '", caplog.text)
    assert len(list(base.iterdir())) == 2


def test_maps_of_the_validation_split(filled, tree, tmp_path):
    words = {"store": filled.parent, "stages": "[analyse]", "trainer.max_epochs": 3}
    cli = train.main(options(tree, tmp_path, fit_split="val", **words))
    assert cli.model.samples_seen == 3 * 8, "9 images in batches of 4"
    val = np.load(filled / "val" / f"{DOTTED[0]}.npy")
    seen = cli.model.maps[DOTTED[0]].standardiser
    assert int(seen.count) == 8
    assert np.abs(seen.mean.numpy() - val.mean(0)).max() < np.abs(val).max() / 5
    listed = pd.read_parquet(run_folder(cli) / "images.parquet")
    assert set(listed["split"]) == {"val"}
    with pytest.raises(ValueError, match="--fit_split val needs the codes of both splits: give a --store"):
        train.main(options(tree, tmp_path, fit_split="val"))


def test_raw_pixels_come_from_a_store_whole_for_any_statistics(tree, tmp_path):
    words = {"model.raw_pixels": "true", "model.statistics": "[max]", "stages": "[analyse]"}
    whole = {"store": tmp_path / "stores", "model.raw_pixels": "true"}
    train.main(["predict", *options(tree, tmp_path / "runs", **whole)])
    images = train.main(options(tree, tmp_path / "images", **words))
    codes = train.main(options(tree, tmp_path / "codes", store=tmp_path / "stores", **words))
    assert len(list((tmp_path / "stores").iterdir())) == 1, "the maps took the store that was there"
    assert codes.model.depths == ("CL0", *DOTTED)
    for depth, som in images.model.maps.items():
        torch.testing.assert_close(codes.model.maps[depth].prototypes, som.prototypes, rtol=1e-5, atol=1e-5)
    assert codes.model.maps["CL0"].prototypes.shape == (12, 768)
    for cli in (images, codes):
        measures = json.loads((run_folder(cli) / "measures.json").read_text())["validate"]
        assert list(measures["label_transfer"]) == list(measures["cka_CL0"]) == ["CL0", *DOTTED]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_resume_in_mid_epoch_from_codes_ends_bit_equal(filled, tmp_path, num_workers):
    def fit(*callbacks, path=None):
        model, data = make_model(taps=DOTTED), CodeData(filled, 4, num_workers=num_workers)
        make_trainer(tmp_path, *callbacks).fit(model, datamodule=data, ckpt_path=path)
        return state(model)

    whole = fit(Saver(tmp_path))  # 2 epochs of 3 steps
    for step in (1, 2, 4):
        assert_equal_states(fit(path=tmp_path / f"step={step}.ckpt"), whole)


def store_files(base):
    (folder,) = base.iterdir()
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npy"))}


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_fill_equal_stores(filled, tree, tmp_path, count):
    """15 + 9 images in batches of 4: 7 batches, of which no process gets as many as the next."""
    words = {"store": tmp_path / "codes", "trainer.devices": count, "trainer.strategy": "ddp"}
    run_on(count, ["predict", *options(tree, tmp_path / "runs", **words)])
    found = store_files(tmp_path / "codes")
    for path in sorted(filled.rglob("*.npy")):
        # One thread a process and one here; the batches are the same, and so are all bits.
        assert found.pop(str(path.relative_to(filled))) == path.read_bytes(), path.name
    assert not found


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_processes_fit_equal_maps_from_codes(filled, tree, tmp_path, count):
    words = {"store": filled.parent, "stages": "[analyse]", "data.batch_size": 6}
    one = train.main(options(tree, tmp_path / "1", **words))
    run_on(count, options(tree, tmp_path / "n", **words, **{"trainer.devices": count, "trainer.strategy": "ddp"}))
    folder = tmp_path / "n" / "somscope" / "version_0"
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for number, som in enumerate(one.model.maps.values()):
        torch.testing.assert_close(state[f"_maps.{number}.prototypes"], som.prototypes.detach(), rtol=0, atol=1e-5)
    bmus = [pd.read_parquet(path / "bmus.parquet") for path in (run_folder(one), folder)]
    pd.testing.assert_frame_equal(bmus[1], bmus[0], rtol=1e-4)


@pytest.mark.slow
def test_a_pass_killed_at_any_moment_ends_bit_equal(tree, tmp_path):
    settings = {"store": tmp_path / "{run}", "data.batch_size": 1, "data.num_workers": 1}
    words = ["predict", *options(tree, tmp_path / "runs", **settings)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.killed", "20", *words]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    hit = int(re.search(r"^killed (\d+)$", result.stdout, re.MULTILINE).group(1))
    assert hit >= 10
    resumed = re.findall(r"(\d+) of 24 batches are there from an interrupted pass", result.stderr)
    assert len(resumed) >= 3, "kills in the midst of a pass"
    whole = store_files(tmp_path / "0")
    for number in range(1, 21):
        assert store_files(tmp_path / str(number)) == whole


MEMORY = """
import resource, sys
import train
from codes import store_writer
from callbacks import CodeWriter

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

seen = []
write = CodeWriter.on_predict_batch_end
def watch(self, *args):
    write(self, *args)
    seen.append(peak())
CodeWriter.on_predict_batch_end = watch
words = sys.argv[1:]
del sys.argv[1:]
train.main(words)
print("kB", seen[4], seen[-1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_memory_does_not_grow_with_the_images(tmp_path):
    """40 batches of 64 codes of 6,000 dimensions, 61 MB, behind the fifth batch: the peak stays."""
    root = tmp_path / "images"
    for split, count in (("train", 2560), ("val", 1)):
        folder = root / split / "ant"
        folder.mkdir(parents=True)
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)).save(folder / "0.png")
        for number in range(1, count):
            os.link(folder / "0.png", folder / f"{number}.png")
    small = {"data.resize": 8, "data.crop": 8, "data.batch_size": 64}
    wide = {"model.backbone": "tests.tiny:Wide", "model.taps": "[first]", "store": tmp_path / "codes"}
    words = ["predict", *options(root, tmp_path / "runs", **small, **wide)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", MEMORY, *words], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    early, late = map(int, re.search(r"kB (\d+) (\d+)", result.stdout).groups())
    assert sum(path.stat().st_size for path in (tmp_path / "codes").rglob("*.npy")) > 60e6
    assert late - early < 10_000

"""Several processes give what one gives: `data.batch_size` counts the images of all of them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

import train
from tests.close import assert_close
from tests.conftest import write_tree
from tests.two_processes import run_on, run_on_two
from tests.whole_runs import options, own_argv  # noqa: F401 (a fixture)

CASES = [
    (2, True),
    pytest.param((2, False), marks=pytest.mark.slow),
    pytest.param((3, True), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=CASES, ids="processes,standardise={}".format)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def standardise(case):
    return case[1]


@pytest.fixture(scope="module")
def folders(own_argv, case, tmp_path_factory):  # noqa: F811
    """The folders of the run on one and on several processes: 7 images to validate and 5 to attack split unevenly."""
    count, standardise = case
    tree = write_tree(tmp_path_factory.mktemp("data") / "images", {"train": 4, "val": 3, "test": 2})
    for name in ("val/ant/000", "val/cat/001", "test/bee/001"):
        (tree / f"{name}.png").unlink()
    out = tmp_path_factory.mktemp("runs")
    changes = {"model.standardise": str(standardise).lower(), "trainer.max_epochs": 2, "data.batch_size": 6}
    changes["model.alpha"] = "[0.9, 1.2]"  # from 1 on the stability check runs, which is a collective
    several = {"trainer.devices": count, "trainer.strategy": "ddp"}
    run_on(count, options(tree, out / "several", **changes, **several))
    train.main(options(tree, out / "1", **changes))
    return [out / processes / "somscope" / "version_0" for processes in ("1", "several")]


def test_prototypes_and_statistics_agree(folders, standardise):
    one, two = (load_file(folder / "maps.safetensors") for folder in folders)
    assert one.keys() == two.keys()
    assert any(name.endswith("/mean") for name in one) == standardise
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=0, atol=1e-5 if "prototypes" in name else 1e-7, err_msg=name)
    assert any(np.abs(values - values.mean(0)).max() > 0.1 for values in one.values()), (
        "maps that never moved agree too"
    )


def test_checkpoints_agree(folders, standardise):
    one, two = (torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in folders)
    assert one["samples_seen"] == two["samples_seen"] == 24
    assert one["global_step"] == two["global_step"] == 4
    assert one["state_dict"].keys() == two["state_dict"].keys()
    counts = [name for name in one["state_dict"] if name.endswith("count")]
    assert bool(counts) == standardise
    assert all(one["state_dict"][name] == two["state_dict"][name] == 12 for name in counts)


def test_bmus_are_the_same(folders):
    one, two = (pd.read_parquet(folder / "bmus.parquet") for folder in folders)
    assert len(one) == 7 * 2, "no image is padded, none is left out"
    pd.testing.assert_frame_equal(two.drop(columns="distance"), one.drop(columns="distance"))
    np.testing.assert_allclose(two["distance"], one["distance"], rtol=1e-4)


@pytest.mark.parametrize("rule", ["batch", pytest.param("ema", marks=pytest.mark.slow)])
def test_rules_without_a_gradient_agree(own_argv, tmp_path, rule):  # noqa: F811
    """Batches of 8 on each of two processes teach what batches of 16 on one do."""
    tree = write_tree(tmp_path / "images", {"train": 11, "val": 2, "test": 1})  # 33 images: 2 steps an epoch
    changes = {"model.rule": rule, "model.alpha": "[0.9, 0.5]", "data.batch_size": 16}
    changes |= {"trainer.max_epochs": 3, "stages": "[]"}
    run_on_two(options(tree, tmp_path / "2", **changes, **{"trainer.devices": 2, "trainer.strategy": "ddp"}))
    train.main(options(tree, tmp_path / "1", **changes))
    paths = [tmp_path / count / "somscope" / "version_0" / "checkpoints" / "last.ckpt" for count in ("1", "2")]
    one, two = (torch.load(path, weights_only=True) for path in paths)
    assert one["samples_seen"] == two["samples_seen"] == 96
    assert one["global_step"] == two["global_step"] == 6
    assert one["state_dict"].keys() == two["state_dict"].keys()
    for name, values in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], values, rtol=0, atol=1e-5, msg=name)
        if name.endswith("prototypes"):
            assert (values - values.mean(0)).abs().max() > 0.1, "maps that never moved agree too"


def test_measures_and_attacks_agree(folders):
    one, two = (json.loads((folder / "measures.json").read_text()) for folder in folders)
    assert_close(two, one, rel=1e-5, abs=1e-6)  # of float32 sums of numbers around 1
    kept = ["id", "label", "reference", "attack", "epsilon", "attacked", "clean_prediction"]
    one, two = (pd.read_parquet(folder / "adversarial.parquet") for folder in folders)
    assert one["id"].tolist() == [0, 1, 2, 3, 4]
    pd.testing.assert_frame_equal(two[kept], one[kept])
    np.testing.assert_allclose(two["linf"], one["linf"], rtol=1e-4)


def test_the_same_images_are_listed(folders):
    one, two = (pd.read_parquet(folder / "images.parquet") for folder in folders)
    assert one.groupby("split").size().to_dict() == {"train": 12, "val": 7, "test": 5}
    pd.testing.assert_frame_equal(two, one)

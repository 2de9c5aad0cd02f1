import json
import math
import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import RunWriter
from tests.callbacks.conftest import TAPS, make_data, make_module, make_trainer


@pytest.fixture
def root(make_tree):
    return make_tree({"train": 4, "val": 3})


def read_maps(path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()


@pytest.mark.parametrize("standardise", [True, False])
def test_maps_after_a_fit(tmp_path, root, standardise):
    module = make_module(initialised=False, standardise=standardise, statistics=["mean", "com"], topology="plane")
    make_trainer(tmp_path, RunWriter()).fit(module, datamodule=make_data(root))
    folder = tmp_path / "run" / "v"
    tensors, metadata = read_maps(folder / "maps.safetensors")
    expected = {}
    for depth, som in module.maps.items():
        expected[f"{depth}/prototypes"] = som.prototypes.detach()
        if standardise:
            expected[f"{depth}/mean"] = som.standardiser.mean
            expected[f"{depth}/std"] = som.standardiser.standard_deviation
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], expected[key]) for key in expected)
    assert tensors["CL1/prototypes"].shape == (12, 6 * 3)
    assert tensors["CL2/prototypes"].shape == (12, 8 * 3)
    assert tensors["CL1/prototypes"].dtype == torch.float32
    if standardise:
        assert tensors["CL2/mean"].shape == tensors["CL2/std"].shape == (24,)
        assert tensors["CL2/mean"].dtype == torch.float64
    assert metadata == {
        "rows": "3",
        "cols": "4",
        "topology": "plane",
        "unit": "row * cols + col",
        "distance": "euclidean",
        "depths": "CL1,CL2",
        "statistics": "mean,com",
        "backbone": "tests.callbacks.factories:ten_classes",
        "backbone_digest": module.extractor.backbone.digest,
    }
    assert not (folder / "bmus.parquet").exists(), "validations while fitting leave no table"
    assert not (folder / "measures.json").exists()


def test_codes_meet_the_saved_maps_without_this_project(tmp_path, root):
    module = make_module()
    trainer = make_trainer(tmp_path, RunWriter())
    trainer.fit(module, datamodule=make_data(root))
    tensors, _ = read_maps(tmp_path / "run" / "v" / "maps.safetensors")
    images = torch.rand(5, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        codes = module.extractor(images).codes
        found = module(images)
    for depth in TAPS:
        encoded = (codes[depth].double() - tensors[f"{depth}/mean"]) / tensors[f"{depth}/std"]
        distances = torch.cdist(encoded, tensors[f"{depth}/prototypes"].double())
        assert distances.argmin(1).tolist() == found[depth].bmu.tolist()
        np.testing.assert_allclose(distances.amin(1), found[depth].distance, rtol=1e-4)


def test_bmus_equal_an_own_search(tmp_path, root):
    module = make_module()
    make_trainer(tmp_path, RunWriter()).validate(module, datamodule=make_data(root), verbose=False)
    data = make_data(root, batch_size=9)
    data.setup("validate")
    (batch,) = data.val_dataloader()
    with torch.no_grad():
        codes = module.extractor(batch["image"]).codes
    path = tmp_path / "run" / "v" / "bmus.parquet"
    table = pd.read_parquet(path)
    assert len(table) == 9 * len(TAPS)
    assert table["depth"].tolist() == ["CL1"] * 9 + ["CL2"] * 9
    assert (table["split"] == "val").all()
    columns = set()
    for depth, som in module.maps.items():
        rows = table[table["depth"] == depth]
        assert rows["id"].tolist() == list(range(9))
        assert rows["label"].tolist() == batch["label"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        distances = torch.cdist(som.encode(codes[depth]).double(), som.prototypes.detach().double())
        unit = distances.argmin(1)
        assert rows["row"].tolist() == (unit // 4).tolist()
        assert rows["col"].tolist() == (unit % 4).tolist()
        np.testing.assert_allclose(rows["distance"], distances.amin(1), rtol=1e-4)
        columns |= set(rows["col"])
    assert 3 in columns, "a map with rows and columns swapped would have no fourth column"
    assert {field.name: str(field.type) for field in pq.read_schema(path)} == {
        "id": "int64",
        "label": "int64",
        "split": "string",
        "depth": "string",
        "row": "int32",
        "col": "int32",
        "distance": "float",
    }


def test_batch_size_changes_nothing(tmp_path, root):
    tables = []
    for size in (1, 4):
        folder = tmp_path / str(size)
        trainer = make_trainer(folder, RunWriter())
        trainer.validate(make_module(), datamodule=make_data(root, batch_size=size), verbose=False)
        tables.append(pd.read_parquet(folder / "run" / "v" / "bmus.parquet"))
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)


def test_measures_are_the_modules_results(tmp_path, root):
    module = make_module()
    make_trainer(tmp_path, RunWriter()).validate(module, datamodule=make_data(root), verbose=False)
    measures = json.loads((tmp_path / "run" / "v" / "measures.json").read_text())
    assert measures["validate"].pop("units") == {"CL1": 12, "CL2": 12}
    assert measures == {"validate": {q: {d: null(v) for d, v in by.items()} for q, by in module.results.items()}}
    quantities = {"quantisation_error", "topographic_error", "explained_variance", "relative_quantisation_error"}
    quantities |= {"effective_units", "collision_lift", "distance_ratio", "dead_channels"}
    assert measures["validate"].keys() == quantities
    table = pd.read_parquet(tmp_path / "run" / "v" / "bmus.parquet")
    means = table.groupby("depth")["distance"].mean()
    assert measures["validate"]["quantisation_error"] == pytest.approx(means.to_dict(), rel=1e-5)


def test_undefined_measures_become_null(tmp_path, make_tree):
    root = make_tree({"val": 2}, classes=("ant",))
    module = make_module()
    with pytest.warns(UserWarning, match="has a single class"):
        make_trainer(tmp_path, RunWriter()).validate(module, datamodule=make_data(root), verbose=False)
    assert math.isnan(module.results["collision_lift"]["CL1"])
    measures = json.loads((tmp_path / "run" / "v" / "measures.json").read_text())
    assert measures["validate"]["collision_lift"] == {"CL1": None, "CL2": None}
    events = EventAccumulator(str(tmp_path / "run" / "v")).Reload()
    assert not any("collision_lift" in tag for tag in events.Tags()["scalars"]), "nor are they logged"


def null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def test_an_exception_leaves_no_table(tmp_path, root, monkeypatch):
    module = make_module()
    step = module.validation_step

    def failing(batch, batch_idx):
        if batch_idx == 1:
            raise RuntimeError("stop")
        return step(batch, batch_idx)

    monkeypatch.setattr(module, "validation_step", failing)
    with pytest.raises(RuntimeError, match="stop"):
        make_trainer(tmp_path, RunWriter()).validate(module, datamodule=make_data(root), verbose=False)
    assert not list((tmp_path / "run" / "v").rglob("*bmus*"))
    assert not list(tmp_path.rglob("measures.json"))


@pytest.mark.parametrize("umask", [0o022, 0o007])
def test_files_follow_the_umask(tmp_path, root, umask):
    before = os.umask(umask)
    try:
        trainer = make_trainer(tmp_path, RunWriter())
        module = make_module()
        trainer.fit(module, datamodule=make_data(root))
        trainer.validate(module, datamodule=make_data(root), verbose=False)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run" / "v").iterdir()}
    assert {"maps.safetensors", "bmus.parquet", "images.parquet", "measures.json"} <= modes.keys()
    assert set(modes.values()) == {0o666 & ~umask}

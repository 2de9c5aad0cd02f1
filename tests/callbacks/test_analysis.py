import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks import MapAnalysis, RunWriter
from callbacks.analysis import COMPARED
from measures import (
    SampledCodes,
    class_structure,
    code_similarity,
    code_structure,
    count_hits,
    trustworthiness,
)
from tests.callbacks.conftest import TAPS, make_data, make_module, make_trainer

FEW = {"permutations": 9, "samples": 50}


def analyse(folder, root, module=None, data=None, **settings):
    """Validate a module that is fit, and read what its folder holds."""
    module = module or make_module()
    trainer = make_trainer(folder, RunWriter(), MapAnalysis(**(FEW | settings)))
    trainer.validate(module, datamodule=data or make_data(root), verbose=False)
    return module, json.loads((folder / "run" / "v" / "measures.json").read_text())["validate"]


def loaded(data, split):
    """All images of a split as one batch."""
    batches = list(data.every_image(split))
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def write_images(root, split, counts):
    """Noise of every strength, in a hue a class."""
    for number, (name, count) in enumerate(counts.items()):
        (root / split / name).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            rng = np.random.default_rng((number, k, split == "val"))
            pixels = rng.integers(0, rng.integers(20, 200), (24, 24, 3), np.uint8)
            pixels[..., number % 3] += np.uint8(rng.integers(0, 55))
            Image.fromarray(pixels).save(root / split / name / f"{k}.png")


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 9), ("val", 5)):
        write_images(tmp_path / "images", split, dict.fromkeys(("ant", "bee", "cat"), count))
    return tmp_path / "images"


def test_every_number_is_that_of_its_measure_on_the_whole_split(tmp_path, root):
    module, found = analyse(tmp_path, root, data=make_data(root, batch_size=7))
    parts = {split: loaded(make_data(root), split) for split in ("train", "val")}
    labels = {split: part["label"] for split, part in parts.items()}
    with torch.no_grad():
        codes = {split: module.extractor(part["image"]).codes for split, part in parts.items()}
    samples = {}
    for depth, som in module.maps.items():
        hits = {split: count_hits(som(codes[split][depth]).bmu, labels[split], 12, 3) for split in parts}
        assert torch.equal(module.train_hits[depth], hits["train"])
        assert torch.equal(module.hits[depth], hits["val"])
        encoded = {
            split: SampledCodes(parts[split]["id"], labels[split], som.encode(codes[split][depth])) for split in parts
        }
        samples[depth] = encoded["val"]
        expected = class_structure(hits["val"], som.lattice, train=hits["train"], permutations=9)
        expected |= code_structure(encoded["val"], 3, train=encoded["train"])
        for name, estimate in expected.items():
            assert found[name][depth] == number(estimate.value), name
            for field in ("low", "high", "null_mean", "null_low", "null_high", "p_value"):
                value = getattr(estimate, field)
                if not math.isnan(value):
                    assert found[f"{name}_{field}"][depth] == number(value), (name, field)
        bmu = som(codes["val"][depth]).bmu
        assert found["trustworthiness"][depth] == number(trustworthiness(encoded["val"].codes, bmu, som.lattice))
    for name, by_depth in code_similarity(samples, 3).items():
        assert found[name] == {depth: number(value) for depth, value in by_depth.items()}
    frame = pd.DataFrame(found)
    assert list(frame.index) == list(TAPS)
    assert all(kind.kind in "fi" for kind in frame.dtypes), "plain numbers, one column each"


def number(value):
    value = float(value)
    return pytest.approx(value, rel=1e-5) if math.isfinite(value) else None


def test_maps_are_compared_where_codes_have_equal_dimensions(tmp_path, root):
    taps = {"CL1": "first", "again": "first", "CL2": "second"}
    module = make_module(taps=taps)
    with torch.no_grad():
        module.maps["again"].prototypes.copy_(module.maps["CL1"].prototypes.view(3, 4, -1).roll(1, 1).flatten(0, 1))
    _, found = analyse(tmp_path, root, module=module)
    assert found["prototype_distance_CL1"] == {"CL1": pytest.approx(0), "again": pytest.approx(0), "CL2": None}
    assert found["prototype_distance_again_null_mean"]["CL1"] > 0.1
    assert "prototype_distance_CL2" not in found


def test_splits_are_compared_at_equal_numbers(tmp_path, root):
    _, found = analyse(tmp_path, root)
    for name in COMPARED:
        for depth in TAPS:
            train, val, difference = (found[f"equal_n_{name}_{what}"][depth] for what in ("train", "val", "difference"))
            assert difference == pytest.approx(train - val)
    for depth in TAPS:  # the smaller split is whole
        assert found["equal_n_distance_ratio_val"][depth] == pytest.approx(found["distance_ratio"][depth], rel=1e-5)


def test_without_a_pass_nothing_compares_splits(tmp_path, root):
    module, found = analyse(tmp_path, root, train_pass=False)
    assert module.train_hits == {}
    assert not {"label_transfer", "chance_accuracy", "knn_accuracy", "nearest_class_mean"} & found.keys()
    assert not any(name.startswith("equal_n") for name in found)
    assert {"left_out_transfer", "distance_ratio_low", "participation_ratio", "cka_CL1"} <= found.keys()


def test_data_without_training_images_is_analysed_without_them(tmp_path, make_tree):
    module, found = analyse(tmp_path, make_tree({"val": 5}))
    assert module.train_hits == {}
    assert "label_transfer" not in found


def test_the_pass_follows_the_limit_of_training_batches(tmp_path, root):
    module = make_module()
    trainer = make_trainer(tmp_path, MapAnalysis(**FEW), limit_train_batches=2)
    trainer.validate(module, datamodule=make_data(root), verbose=False)
    assert all(int(hits.sum()) == 8 for hits in module.train_hits.values())


def test_values_are_scalars_once_and_a_fit_stays_light(tmp_path, root):
    module = make_module()
    trainer = make_trainer(tmp_path, MapAnalysis(**FEW))
    trainer.fit(module, datamodule=make_data(root))
    assert "participation_ratio" not in module.results
    trainer.validate(module, datamodule=make_data(root), verbose=False)
    events = EventAccumulator(str(tmp_path / "run" / "v"), size_guidance={"scalars": 0}).Reload()
    tags = set(events.Tags()["scalars"])
    for name in ("distance_in", "label_transfer", "knn_accuracy", "equal_n_collision_lift_val", "trustworthiness"):
        (event,) = events.Scalars(f"validate/{name}/CL2")
        np.testing.assert_allclose(event.value, module.results[name]["CL2"], rtol=1e-5)
    for bound in ("low", "high", "null_mean", "p_value"):
        assert f"validate/distance_in_{bound}/CL2" not in tags
    assert not any("cka" in tag for tag in tags)
    (event,) = events.Scalars("validate/distance_ratio/CL2")  # of the fit: the analysis repeats it


def test_what_is_undefined_is_no_scalar(tmp_path, root):
    _, found = analyse(tmp_path, root, make_module(statistics=["mean"]))
    assert (found["pca_share_7"]["CL1"], found["pca_share_9"]["CL2"]) == (None, None), "of 6 and 8 dimensions"
    assert found["pca_share_7"]["CL2"] is not None
    tags = EventAccumulator(str(tmp_path / "run" / "v")).Reload().Tags()["scalars"]
    assert "validate/pca_share_7/CL2" in tags
    assert not {"validate/pca_share_7/CL1", "validate/pca_share_9/CL2"} & set(tags)


def test_order_of_the_callbacks_changes_nothing(tmp_path, root):
    found = []
    for number in (0, 1):
        callbacks = [RunWriter(), MapAnalysis(**FEW)][:: 1 - 2 * number]
        make_trainer(tmp_path / str(number), *callbacks).validate(
            make_module(), datamodule=make_data(root), verbose=False
        )
        found.append((tmp_path / str(number) / "run" / "v" / "measures.json").read_text())
    assert found[0] == found[1]


def test_settings_out_of_range_are_refused():
    for settings in ({"samples": 0}, {"permutations": 0}):
        with pytest.raises(ValueError, match="must be 1 or more"):
            MapAnalysis(**settings)


# ------------------------------------------------------------------------------------------------- bad input


def test_one_class(tmp_path, make_tree):
    with pytest.warns(UserWarning, match="has a single class"):
        _, found = analyse(tmp_path, make_tree({"train": 6, "val": 6}, classes=("ant",)))
    for name in ("collision_lift", "distance_ratio", "mutual_information", "rsa_CL1"):
        assert set(found[name].values()) <= {None, 1.0}
    assert found["distance_ratio"] == {"CL1": None, "CL2": None}
    assert found["label_transfer"] == {"CL1": 1.0, "CL2": 1.0}
    assert "distance_ratio_p_value" not in found


def test_one_image_a_class(tmp_path, make_tree):
    _, found = analyse(tmp_path, make_tree({"train": 1, "val": 1}))
    for name in ("collision_lift", "distance_in", "equal_n_distance_ratio_val", "trustworthiness"):
        assert found[name] == {"CL1": None, "CL2": None}
    assert found["samples"] == {"CL1": 3, "CL2": 3}
    assert found["ambiguous_centers"] == {"CL1": 1, "CL2": 1}


@pytest.mark.parametrize("absent", ["train", "val"])
def test_a_class_absent_from_a_split(tmp_path, absent):
    counts = {"ant": 6, "bee": 6, "cat": 6}
    for split in ("train", "val"):
        write_images(tmp_path / "images", split, counts | ({"cat": 0} if split == absent else {}))
    module, found = analyse(tmp_path, tmp_path / "images")
    assert found["classes"] == {"CL1": 3 - (absent == "val"), "CL2": 3 - (absent == "val")}
    assert found["chance_accuracy"]["CL1"] == pytest.approx(1 / 3)
    assert all(0 <= value <= 1 for value in found["label_transfer"].values())
    assert all(hits.sum(1).tolist()[2] == (0 if absent == "train" else 6) for hits in module.train_hits.values())
    assert found["equal_n_distance_ratio_train"]["CL1"] is not None


def test_a_thousand_classes_of_one_image(tmp_path):
    names = {f"class{k:04}": 1 for k in range(1000)}
    for split in ("train", "val"):
        write_images(tmp_path / "images", split, names)
    data = make_data(tmp_path / "images", batch_size=500)
    _, found = analyse(tmp_path, tmp_path / "images", data=data, permutations=2)
    assert found["samples"] == {"CL1": 1000, "CL2": 1000}
    assert found["distance_ratio"] == {"CL1": None, "CL2": None}
    assert found["label_transfer"]["CL1"] < 0.1


def test_all_on_one_unit(tmp_path, root):
    module = make_module()
    with torch.no_grad():
        for som in module.maps.values():
            som.prototypes[1:] += 1e4
    _, found = analyse(tmp_path, root, module=module)
    assert found["effective_units"] == {"CL1": 1, "CL2": 1}
    assert found["collision_lift"] == {"CL1": 1, "CL2": 1}
    assert found["distance_ratio"] == {"CL1": None, "CL2": None}
    assert found["label_transfer"]["CL1"] == pytest.approx(1 / 3)


def test_equal_codes(tmp_path, root):
    for path in root.rglob("*.png"):
        Image.new("RGB", (24, 24), "red").save(path)
    _, found = analyse(tmp_path, root)
    for name in ("participation_ratio", "pca_share_1", "explained_variance", "intrinsic_dimension"):
        assert found[name] == {"CL1": None, "CL2": None}
    assert found["knn_accuracy"]["CL1"] is not None


def test_a_code_that_is_not_finite_is_named(tmp_path, root):
    module = make_module()
    with torch.no_grad():
        module.extractor.backbone.model.first.bias[0] = math.nan
    with pytest.raises(ValueError, match=r"codes must be finite; row 0 holds NaN or infinity \(4 of 4 rows do\)"):
        analyse(tmp_path, root, module=module)
    assert not (tmp_path / "run" / "v" / "measures.json").exists()

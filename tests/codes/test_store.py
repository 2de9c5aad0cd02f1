import json
import re

import numpy as np
import pytest
import torch

from codes import CodeExtractor, Preprocessing, load_backbone, store
from codes.store import CodeStore, differences, explain_absence, find_store, serves, store_folder
from tests.codes.store_examples import content, fill, make_recipe
from tests.tiny import TAPS


def test_numpy_alone_reads_a_store(tmp_path):
    """The lines of docs/store.md."""
    folder = fill(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    codes = np.load(folder / "train" / "CL2.npy", mmap_mode="r")
    labels = np.load(folder / "train" / "labels.npy")
    assert manifest["recipe"]["statistics"] == ["max", "mean", "std", "com"]
    assert codes.shape == (11, 15)
    assert np.array_equal(codes, content("train")["CL2"])
    assert labels.tolist() == [0, 1] * 5 + [0]


def test_a_store_says_what_it_holds(tmp_path):
    opened = CodeStore(fill(tmp_path))
    assert opened.depths == ("CL1", "CL2")
    assert opened.statistics == ("max", "mean", "std", "com")
    assert opened.rows == {"train": 11, "val": 4}
    assert opened.classes == ["ant", "bee"]
    assert isinstance(opened.array("val", "CL1"), np.memmap)
    assert not opened.array("val", "CL1").flags.writeable


@pytest.mark.parametrize(
    ("statistics", "blocks"),
    [
        (("max", "mean", "std", "com"), [(0, 15)]),
        (("mean", "std"), [(3, 9)]),
        (("com", "max"), [(9, 15), (0, 3)]),
        (("std", "mean"), [(6, 9), (3, 6)]),
    ],
)
def test_columns_of_statistics(tmp_path, statistics, blocks):
    columns = CodeStore(fill(tmp_path)).columns("CL2", statistics)
    assert [(block.start, block.stop) for block in columns] == blocks


def test_raw_pixels_have_no_statistics_and_come_whole(tmp_path):
    store = CodeStore(fill(tmp_path))
    store.manifest["channels"]["CL0"] = 0
    assert store.columns("CL0", ["max"]) == [slice(None)]


def test_no_other_folder_is_taken_for_a_store(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no whole store of codes"):
        CodeStore(tmp_path)
    folder = fill(tmp_path)
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(ValueError, match="has format 2, this version reads 1"):
        CodeStore(folder)
    (folder / "manifest.json").write_text(text[:100])
    with pytest.raises(ValueError, match=r"manifest\.json' is damaged .*: delete the store, to fill it anew"):
        CodeStore(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("[]")
    assert "holds no store" in explain_absence(tmp_path, make_recipe())


def test_an_array_that_was_cut_is_refused(tmp_path):
    folder = fill(tmp_path)
    path = folder / "val" / "CL1.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"CL1\.npy' is damaged .*: delete the store, to fill it anew"):
        CodeStore(folder).array("val", "CL1")
    np.save(path, np.zeros((3, 10), np.float32))
    with pytest.raises(ValueError, match=r"CL1\.npy' has 3 rows, its manifest says 4"):
        CodeStore(folder).array("val", "CL1")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        CodeStore(folder).array("val", "CL1")


@pytest.mark.parametrize(
    ("changes", "served"),
    [
        ({}, True),
        ({"taps": {"CL2": "blocks.second"}}, True),
        ({"statistics": ["com", "max"]}, True),
        ({"taps": {"CL1": "first"}, "statistics": ["mean"]}, True),
        ({"taps": {"CL1": "second"}}, False),
        ({"taps": {"CL3": "first"}}, False),
        ({"dtype": "float16"}, False),
        ({"precision": "bf16-mixed"}, False),
        ({"weights": "00" * 32}, False),
        ({"transform": make_recipe()["transform"] | {"crop": 15}}, False),
        ({"data": {}}, False),
    ],
)
def test_a_store_serves_fewer_depths_and_statistics_and_nothing_else(tmp_path, changes, served):
    folder = fill(tmp_path)
    wanted = make_recipe(**changes)
    assert serves(make_recipe(), wanted) == served
    found = find_store(tmp_path, wanted)
    assert (found is not None) == served
    assert not served or found.folder == folder


def test_a_narrow_store_does_not_serve_a_wide_recipe(tmp_path):
    fill(tmp_path, statistics=["mean", "std", "max"])
    assert find_store(tmp_path, make_recipe()) is None


def test_the_own_store_goes_before_a_wider_one(tmp_path):
    fill(tmp_path)
    # Widths do not matter here.
    own = fill(tmp_path, statistics=["mean", "com"])
    assert find_store(tmp_path, make_recipe(statistics=["mean", "com"])).folder == own


def test_what_differs_is_named_against_the_nearest_store(tmp_path):
    assert explain_absence(tmp_path / "nowhere", make_recipe()) == f"'{tmp_path / 'nowhere'}' holds no store"
    fill(tmp_path, weights="12" * 32, dtype="float16")
    near = fill(tmp_path)
    wanted = make_recipe(transform=make_recipe()["transform"] | {"crop": 15}, taps={"CL1": "first", "CL3": "x"})
    text = explain_absence(tmp_path, wanted)
    assert f"The nearest, {near.name}, differs: " in text
    assert "transform.crop is 16 there, 15 here" in text
    assert "taps.CL2 is blocks.second there, absent here" in text
    assert "taps.CL3 is absent there, x here" in text
    assert text.count(" there, ") == 3
    assert "weights is 121212121212... there" not in text
    assert differences(make_recipe(), make_recipe()) == []


def test_the_folder_is_the_backbones_with_a_fingerprint_of_everything(tmp_path):
    name = store_folder(tmp_path, make_recipe(backbone="timm/a b:c")).name
    assert re.fullmatch(r"timm_a_b_c-[0-9a-f]{12}", name)
    changed = [make_recipe(**{key: "x"}) for key in make_recipe() if key != "backbone"]
    assert len({store_folder(tmp_path, recipe) for recipe in [make_recipe(), *changed]}) == len(changed) + 1
    shuffled = dict(reversed(make_recipe().items()))
    assert store_folder(tmp_path, shuffled) == store_folder(tmp_path, make_recipe())


def test_a_recipe_holds_all_that_codes_depend_on():
    preprocessing = Preprocessing(resize=40, crop=32, interpolation="bicubic")

    def recipe(seed=0, mean=(0.5, 0.5, 0.5), statistics=("com", "max"), taps=TAPS, data=1, **changes):
        extractor = CodeExtractor(load_backbone("tests.tiny:Tiny", seed=seed, mean=mean), taps, statistics)
        settings = {"preprocessing": preprocessing, "dtype": "float32", "precision": "32-true"} | changes
        return store.make_recipe(extractor, data={"train": data}, **settings)

    base = recipe()
    assert base == json.loads(json.dumps(base)) == recipe()
    assert base["transform"] == {
        "resize": 40,
        "crop": 32,
        "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5],
        "std": list(Preprocessing().std),
    }
    others = [
        recipe(seed=1),
        recipe(mean=(0.4, 0.5, 0.5)),
        recipe(statistics=("max",)),
        recipe(taps={"CL1": "first"}),
        recipe(data=2),
        recipe(dtype="float16"),
        recipe(precision="bf16-mixed"),
        recipe(preprocessing=Preprocessing(resize=41, crop=32, interpolation="bicubic")),
    ]
    keys = [{key.split(".")[0] for key, *_ in differences(base, other)} for other in others]
    expected = ["weights", "transform", "statistics", "taps", "data", "dtype", "precision", "transform"]
    assert keys == [{name} for name in expected]
    assert torch.is_grad_enabled()

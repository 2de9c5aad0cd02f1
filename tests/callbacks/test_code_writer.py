import numpy as np
import pandas as pd
import pytest
import torch

from callbacks import CodeWriter
from codes import Extraction
from codes.store import CodeStore
from datamodules import PassData
from datamodules.decoding import to_unit
from tests.callbacks.conftest import TAPS, make_data, make_module, make_trainer


@pytest.fixture
def root(make_tree):
    return make_tree({"train": 3, "val": 2})


def predict(folder, module, root, dtype="float32", **settings):
    limits = {"limit_predict_batches": settings.pop("limit")} if "limit" in settings else {}
    data = PassData(make_data(root, **settings), module.extractor, folder / "codes", dtype, "32-true")
    make_trainer(folder, CodeWriter(), **limits).predict(module, datamodule=data, return_predictions=False)
    return data


def direct(module, data, split: str) -> dict[str, np.ndarray]:
    dataset = data.loaders[split].dataset
    samples = [dataset[k] for k in range(len(dataset))]
    with torch.no_grad():
        found = [module.extractor(to_unit(sample["image"])[None]) for sample in samples]
    arrays = {depth: torch.cat([each.codes[depth] for each in found]).numpy() for depth in TAPS}
    arrays["dead"] = np.array([[int(each.dead[depth]) for depth in TAPS] for each in found])
    return arrays | {f"{name}s": np.array([sample[name] for sample in samples]) for name in ("id", "label")}


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"batch_size": 4}, {"batch_size": 4, "num_workers": 2}])
def test_arrays_equal_codes_extracted_directly(tmp_path, root, settings):
    module = make_module()
    data = predict(tmp_path, module, root, **settings)
    store = data.filled()
    assert sorted(path.name for path in store.folder.iterdir()) == ["images.parquet", "manifest.json", "train", "val"]
    assert store.classes == ["ant", "bee", "cat"]
    for split, count in (("train", 9), ("val", 6)):
        expected = direct(module, data, split)
        found = {path.stem: np.load(path) for path in (store.folder / split).iterdir()}
        assert found.keys() == {"CL1", "CL2", "ids", "labels", "dead"}
        assert found["CL1"].shape == (count, 30)
        assert found["CL2"].shape == (count, 40)
        assert found["ids"].tolist() == list(range(count))
        for name in ("labels", "dead"):
            assert np.array_equal(found[name], expected[name])
        assert found["dead"].sum() > 0
        for depth in TAPS:
            np.testing.assert_allclose(found[depth], expected[depth], rtol=1e-5, atol=1e-5)
            assert (np.abs(found[depth]).sum(1) > 0).all()
        totals = store.manifest["splits"][split]["dead_channels"]
        assert list(totals.values()) == expected["dead"].sum(0).tolist()
    assert store.manifest["batch"] == settings["batch_size"]
    assert store.manifest["made_with"]["torch"] == torch.__version__
    assert store.manifest["made_with"]["device"] == "cpu"


def test_batches_have_at_most_64_rows(tmp_path, make_tree):
    root = make_tree({"train": 24, "val": 1})
    data = predict(tmp_path, make_module(), root, batch_size=70)
    assert data.filled().manifest["batch"] == 64
    assert [batch[1:] for batch in data.writer.batches] == [(0, 64), (64, 72), (0, 3)]
    assert CodeStore(data.writer.folder).array("train", "ids").tolist() == list(range(72))


def test_skipped_files_are_named_and_every_image_can_be_traced(tmp_path, root):
    (root / "train" / "ant" / "001.png").write_bytes(b"broken")
    module = make_module()
    with pytest.warns(UserWarning, match="skipped 1 of 9"):
        data = predict(tmp_path, module, root)
    store = data.filled()
    assert store.array("train", "ids").tolist() == [0, 2, 3, 4, 5, 6, 7, 8]
    expected = direct(module, data, "train")["CL2"]
    np.testing.assert_allclose(store.array("train", "CL2"), expected, rtol=1e-5, atol=1e-5)
    splits = store.manifest["splits"]
    assert splits["train"]["skipped"] == [["train/ant/001.png", "not an image file"]]
    assert splits["val"]["skipped"] == []
    images = pd.read_parquet(store.folder / "images.parquet")
    train = images[images["split"] == "train"]
    assert train["id"].tolist() == store.array("train", "ids").tolist()
    assert train["path"].tolist()[:2] == ["train/ant/000.png", "train/ant/002.png"]
    assert len(images) == 8 + 6


def test_an_exception_leaves_a_pass_that_goes_on(tmp_path, root, monkeypatch):
    module = make_module()
    predict(tmp_path / "whole", module, root)
    step, seen = module.predict_step, []

    def failing(batch, batch_idx):
        if batch["batch"] == 3:
            raise RuntimeError("stop")
        return step(batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(module, "predict_step", failing)
        with pytest.raises(RuntimeError, match="stop"):
            predict(tmp_path / "parts", module, root)
    (part,) = (tmp_path / "parts" / "codes").iterdir()
    assert part.name.endswith(".part")
    monkeypatch.setattr(module, "predict_step", lambda batch, batch_idx: seen.append(batch["batch"]) or step(batch, 0))
    resumed = predict(tmp_path / "parts", module, root)
    assert seen == [3, 4], "9 + 6 images in batches of 4"
    folder = resumed.filled().folder
    for path in (tmp_path / "whole" / "codes" / folder.name).rglob("*.npy"):
        twin = folder.parent.parent.parent / "parts" / "codes" / path.relative_to(tmp_path / "whole" / "codes")
        assert twin.read_bytes() == path.read_bytes(), path.name


def test_a_limit_leaves_a_store_that_is_not_whole(tmp_path, root):
    module = make_module()
    data = predict(tmp_path, module, root, limit=2)
    with pytest.raises(ValueError, match=r"is not whole yet: run the same command again, without limits"):
        data.filled()
    assert predict(tmp_path, module, root).filled().rows == {"train": 9, "val": 6}


def test_a_pass_that_ended_before_its_last_word_is_finished(tmp_path, root, monkeypatch):
    """Killed between the last batch and the manifest: nothing is missing, and the store becomes whole."""
    module = make_module()
    with monkeypatch.context() as patch:
        patch.setattr("codes.store_writer.StoreWriter.finish", lambda *_: False)
        data = predict(tmp_path, module, root)
    with pytest.raises(ValueError, match="is not whole yet"):
        data.filled()
    assert predict(tmp_path, module, root).filled().rows == {"train": 9, "val": 6}


def test_half_precision(tmp_path, root):
    module = make_module()
    data = predict(tmp_path, module, root, dtype="float16")
    found, expected = data.filled().array("val", "CL2"), direct(module, data, "val")["CL2"]
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_code_beyond_half_precision_is_refused(tmp_path, root, monkeypatch):
    module = make_module()
    step = module.predict_step

    def large(batch, batch_idx):
        found = step(batch, batch_idx)
        return Extraction({depth: code * 1e6 for depth, code in found.codes.items()}, None, found.dead)

    monkeypatch.setattr(module, "predict_step", large)
    with pytest.raises(ValueError, match=r"a code of CL1 is .*, beyond float16's 65504: keep float32"):
        predict(tmp_path, module, root, dtype="float16")


def test_images_without_a_store_are_refused(tmp_path, root):
    with pytest.raises(ValueError, match=r"CodeWriter fills the store of a pass: predict with datamodule=PassData"):
        make_trainer(tmp_path, CodeWriter()).predict(make_module(), datamodule=make_data(root))

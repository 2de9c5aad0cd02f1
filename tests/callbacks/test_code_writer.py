import numpy as np
import pytest
import torch

from callbacks import CodeWriter
from datamodules.decoding import to_unit
from tests.callbacks.conftest import TAPS, make_data, make_module, make_trainer


@pytest.fixture
def root(make_tree):
    return make_tree({"train": 3, "val": 2})


def predict(trainer, module, data) -> None:
    trainer.predict(module, datamodule=data, return_predictions=False)


def direct(module, data, split: str) -> dict[str, np.ndarray]:
    samples = [data._datasets[split][k] for k in range(len(data._datasets[split]))]
    with torch.no_grad():
        codes = [module.extractor(to_unit(sample["image"])[None]).codes for sample in samples]
    arrays = {depth: torch.cat([code[depth] for code in codes]).numpy() for depth in TAPS}
    return arrays | {f"{name}s": np.array([sample[name] for sample in samples]) for name in ("id", "label")}


@pytest.mark.parametrize("batch_size", [1, 4])
def test_arrays_equal_codes_extracted_directly(tmp_path, root, batch_size):
    module, data = make_module(), make_data(root, batch_size=batch_size)
    predict(make_trainer(tmp_path, CodeWriter()), module, data)
    folder = tmp_path / "run" / "v" / "codes"
    assert sorted(path.name for path in folder.iterdir()) == ["train", "val"]
    for split, count in (("train", 9), ("val", 6)):
        expected = direct(module, data, split)
        found = {path.stem: np.load(path) for path in (folder / split).iterdir()}
        assert found.keys() == {"CL1", "CL2", "ids", "labels"}
        assert found["CL1"].shape == (count, 30)
        assert found["CL2"].shape == (count, 40)
        assert found["ids"].tolist() == list(range(count))
        assert found["labels"].tolist() == expected["labels"].tolist()
        for depth in TAPS:
            assert found[depth].dtype == np.float32
            np.testing.assert_allclose(found[depth], expected[depth], rtol=1e-5, atol=1e-5)
            assert (np.abs(found[depth]).sum(1) > 0).all()
        assert found["ids"].dtype == found["labels"].dtype == np.int64


def test_ids_of_skipped_files_are_left_out(tmp_path, root):
    (root / "train" / "ant" / "001.png").write_bytes(b"broken")
    module, data = make_module(), make_data(root)
    with pytest.warns(UserWarning, match="skipped 1 of 9"):
        predict(make_trainer(tmp_path, CodeWriter()), module, data)
    folder = tmp_path / "run" / "v" / "codes" / "train"
    assert np.load(folder / "ids.npy").tolist() == [0, 2, 3, 4, 5, 6, 7, 8]
    np.testing.assert_allclose(np.load(folder / "CL2.npy"), direct(module, data, "train")["CL2"], rtol=1e-5, atol=1e-5)


def test_folders_appear_at_the_end(tmp_path, root, monkeypatch):
    module, seen = make_module(), []
    codes = tmp_path / "run" / "v" / "codes"
    step = module.predict_step

    def watching(batch, batch_idx, dataloader_idx=0):
        seen.append(sorted(path.name for path in codes.iterdir()))
        return step(batch, batch_idx, dataloader_idx)

    monkeypatch.setattr(module, "predict_step", watching)
    predict(make_trainer(tmp_path, CodeWriter()), module, make_data(root))
    assert seen
    assert all(names == [".train.part", ".val.part"] for names in seen)
    assert sorted(path.name for path in codes.iterdir()) == ["train", "val"]


def test_an_exception_leaves_earlier_codes(tmp_path, root, monkeypatch):
    module = make_module()
    codes = tmp_path / "run" / "v" / "codes"
    step = module.predict_step

    def failing(batch, batch_idx, dataloader_idx=0):
        if (dataloader_idx, batch_idx) == (1, 1):
            raise RuntimeError("stop")
        return step(batch, batch_idx, dataloader_idx)

    with monkeypatch.context() as patch:
        patch.setattr(module, "predict_step", failing)
        with pytest.raises(RuntimeError, match="stop"):
            predict(make_trainer(tmp_path, CodeWriter()), module, make_data(root))
    assert list(codes.iterdir()) == []

    predict(make_trainer(tmp_path, CodeWriter()), module, make_data(root))
    before = np.load(codes / "val" / "CL1.npy")
    monkeypatch.setattr(module, "predict_step", failing)
    with pytest.raises(RuntimeError, match="stop"):
        predict(make_trainer(tmp_path, CodeWriter()), module, make_data(root))
    assert sorted(path.name for path in codes.iterdir()) == ["train", "val"]
    assert np.array_equal(np.load(codes / "val" / "CL1.npy"), before)


def test_limited_batches_leave_no_empty_rows(tmp_path, root):
    module, data = make_module(), make_data(root, batch_size=2)
    predict(make_trainer(tmp_path, CodeWriter(), limit_predict_batches=2), module, data)
    folder = tmp_path / "run" / "v" / "codes" / "train"
    assert np.load(folder / "ids.npy").tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(
        np.load(folder / "CL1.npy"), direct(module, data, "train")["CL1"][:4], rtol=1e-5, atol=1e-5
    )

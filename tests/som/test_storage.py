import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from som import storage
from som.storage import read_tensors, write_tensors

TENSORS = {"prototypes": torch.arange(6.0).view(2, 3).T, "ready": torch.tensor(True), "n": torch.tensor(3)}
SETTINGS = {"rows": 3, "sigma": [1.5, 0.5], "name": "ä", "none": None, "nested": {"a": True}}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "map.safetensors"
    write_tensors(path, TENSORS, SETTINGS)
    tensors, settings = read_tensors(str(path))
    assert settings == SETTINGS
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert torch.equal(tensors[name], value)
    assert torch.equal(load_file(path)["prototypes"], TENSORS["prototypes"])
    assert [file.name for file in path.parent.iterdir()] == ["map.safetensors"]


def test_numpy_numbers_are_numbers(tmp_path):
    write_tensors(tmp_path / "map", TENSORS, {"rows": np.int64(3), "sigma": (np.float32(1.5), 0.5), "on": np.bool_(1)})
    assert read_tensors(tmp_path / "map")[1] == {"rows": 3, "sigma": [1.5, 0.5], "on": True}


def test_a_crash_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "map"
    write_tensors(path, TENSORS, SETTINGS)

    def crash(tensors, partial, metadata):
        partial.write_bytes(b"half of")
        raise OSError("disk full")

    monkeypatch.setattr(storage, "save_file", crash)
    with pytest.raises(OSError, match="disk full"):
        write_tensors(path, {"prototypes": torch.zeros(1)}, {})
    assert read_tensors(path)[1] == SETTINGS
    monkeypatch.undo()
    write_tensors(path, TENSORS, {"rows": 4})
    assert read_tensors(path)[1] == {"rows": 4}


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        read_tensors(tmp_path / "missing")
    (tmp_path / "text").write_text("no map")
    with pytest.raises(ValueError, match=r"is no map: .*; give a file that SOM.save or a checkpoint wrote"):
        read_tensors(tmp_path / "text")
    write_tensors(tmp_path / "half", TENSORS, SETTINGS)
    (tmp_path / "half").write_bytes((tmp_path / "half").read_bytes()[:-8])
    with pytest.raises(ValueError, match="is no map"):
        read_tensors(tmp_path / "half")


def test_settings_alone(tmp_path):
    write_tensors(tmp_path / "map", TENSORS, SETTINGS)
    assert read_tensors(tmp_path / "map", settings_only=True) == ({}, SETTINGS)

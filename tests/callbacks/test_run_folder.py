import json
import math

import pytest
import pytorch_lightning as pl
from matplotlib.figure import Figure

from callbacks.run_folder import atomic, merge_measures, read_measures, run_folder, save_figure
from tests.callbacks.conftest import make_trainer


def test_the_folder_is_the_loggers_version_or_the_root(tmp_path):
    assert run_folder(make_trainer(tmp_path)) == tmp_path / "run" / "v"
    bare = pl.Trainer(
        logger=False, accelerator="cpu", default_root_dir=tmp_path, enable_checkpointing=False, barebones=False
    )
    assert run_folder(bare) == tmp_path


def test_atomic_writes_all_or_nothing(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with atomic(path) as part:
        part.write_text("whole")
        assert part.parent == path.parent, "a rename is atomic within one file system only"
        assert not path.exists()
    assert path.read_text() == "whole"

    def fail():
        with atomic(path) as part:
            part.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_measures_merge_by_stage(tmp_path):
    assert read_measures(tmp_path) == {}
    merge_measures(tmp_path, "validate", {"quantisation_error": {"CL1": 1.5}, "gone": {"CL1": 0.0}})
    merge_measures(tmp_path, "test", {"attacks": {"fgsm": {"1/255": {"trials": 3}}}})
    merge_measures(tmp_path, "validate", {"quantisation_error": {"CL1": 2.5}})
    assert read_measures(tmp_path) == {
        "validate": {"quantisation_error": {"CL1": 2.5}},
        "test": {"attacks": {"fgsm": {"1/255": {"trials": 3}}}},
    }
    assert [each.name for each in tmp_path.iterdir()] == ["measures.json"]


def test_undefined_numbers_become_null(tmp_path):
    merge_measures(tmp_path, "test", {"a": {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "n": 2, "text": "x"}})

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    plain = json.loads((tmp_path / "measures.json").read_text(), parse_constant=refuse)
    assert plain == {"test": {"a": {"nan": None, "inf": None, "minus": None, "n": 2, "text": "x"}}}


def test_budgets_and_depths_keep_their_order(tmp_path):
    budgets = ["0.0625/255", "2/255", "8/255", "16/255"]
    merge_measures(tmp_path, "test", {"attacks": dict.fromkeys(budgets, 0.0), "depths": {"layer10": 1, "layer2": 2}})
    read = read_measures(tmp_path)["test"]
    assert list(read["attacks"]) == budgets
    assert list(read["depths"]) == ["layer10", "layer2"]


def test_figures_are_saved_twice(tmp_path):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    save_figure(tmp_path, "lines", figure)
    assert sorted(each.name for each in (tmp_path / "figures").iterdir()) == ["lines.pdf", "lines.png"]
    assert (tmp_path / "figures" / "lines.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figures" / "lines.pdf").read_bytes().startswith(b"%PDF")

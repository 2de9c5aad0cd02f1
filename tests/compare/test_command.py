import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compare.command import main


def events(folder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def run(*args) -> int:
    return main([str(arg) for arg in args])


def test_all_that_a_comparison_leaves(make_run, tmp_path, capsys):
    out = tmp_path / "out"
    runs = [make_run("a"), make_run("b", seed=1, model__backbone="vgg19", data__root="other")]
    assert run("--runs", *runs, "--out", out) == 0
    said = capsys.readouterr()
    assert said.err == "WARNING: the runs differ in data.root (images: resnet18; other: vgg19)\n"
    assert said.out == f"the comparison's folder: {out}\n"
    names = {"density", "classes", "unfolded", "losses", "depth_profile", "bmus_by_class_CL1", "bmus_by_class_CL2"}
    assert {path.name for path in (out / "figures").iterdir()} == {
        f"{n}.{kind}" for n in names for kind in ("png", "pdf")
    }
    table = pd.read_csv(out / "comparison.csv", comment="#")
    assert set(table.run) == {"resnet18", "vgg19"}
    text = (out / "comparison.md").read_text()
    assert "WARNING" in text
    together = events(out / "tensorboard" / "comparison")
    assert set(together.Tags()["images"]) == {f"compare/{name}" for name in names}
    assert together.Tags()["tensors"] == ["comparison/text_summary"]
    alone = events(out / "tensorboard" / "vgg19")
    assert [(e.step, e.value) for e in alone.Scalars("validate/collision_lift")] == [(1, 2), (2, 3)]


def test_a_comparison_replaces_an_earlier_one(make_run, tmp_path, capsys):
    folder, out = make_run(), tmp_path / "out"
    for _ in range(2):
        assert run("--runs", folder, "--out", out) == 0
    assert capsys.readouterr().err == "", "one run differs in nothing"
    assert len(list((out / "tensorboard" / "resnet18").iterdir())) == 1


def test_names_and_classes(make_run, tmp_path):
    out = tmp_path / "out"
    runs = [make_run("a"), make_run("b", seed=1)]
    run("--runs", *runs, "--out", out, "--names", "SOM-tr", "SOM-val", "--classes", "cat", "--density_scale", "1")
    assert set(pd.read_csv(out / "comparison.csv", comment="#").run) == {"SOM-tr", "SOM-val"}
    assert (out / "tensorboard" / "SOM-val").is_dir()


def test_what_cannot_be_compared_leaves_nothing(make_run, tmp_path):
    folder, out = make_run(), tmp_path / "out"
    with pytest.raises(ValueError, match="is the folder of a run: give another"):
        run("--runs", folder, "--out", folder)
    with pytest.raises(ValueError, match="no depth in common"):
        run("--runs", folder, make_run("b", depths=("layer9",)), "--out", out)
    with pytest.raises(FileNotFoundError, match="there is no run"):
        run("--runs", tmp_path / "nowhere", "--out", out)
    with pytest.raises(SystemExit) as stop:
        run("--runs", folder)
    assert stop.value.code == 2
    assert not out.exists()


@pytest.mark.parametrize("scale", ["-1", "0", "nan", "inf"])
def test_a_density_scale_that_shows_nothing(make_run, tmp_path, scale):
    with pytest.raises(ValueError, match=f"--density_scale is {scale}: it must be above 0"):
        run("--runs", make_run(), "--out", tmp_path / "out", f"--density_scale={scale}")
    assert not (tmp_path / "out").exists()

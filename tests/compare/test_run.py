import json

import pandas as pd
import pytest

from compare.run import read_runs


def test_what_a_run_left(make_run):
    folder = make_run(images=5, data__per_class=5)
    (run,) = read_runs([folder])
    assert run.name == "resnet18"
    assert run.folder == folder
    assert run.depths == ("CL2", "CL1"), "in the order of the measures, not of the alphabet"
    assert (run.lattice.rows, run.lattice.cols, run.lattice.topology) == (3, 4, "torus")
    assert run.classes == ("ant", "bee", "cat")
    assert run.settings["data.per_class"] == 5
    assert run.samples.tolist() == [5, 5, 5]
    bmus = pd.read_parquet(folder / "bmus.parquet")
    for depth in run.depths:
        expected = bmus[bmus.depth == depth].groupby(["label", "row", "col"]).size()
        assert run.hits[depth].sum() == 15
        assert all(run.hits[depth][place] == count for place, count in expected.items())
    assert list(run.losses) == ["energy", "relative_energy"]
    assert run.measures["validate"]["collision_lift"]["CL1"] == 2


def test_only_validation_images_count(make_run):
    folder = make_run()
    bmus = pd.read_parquet(folder / "bmus.parquet")
    bmus.loc[bmus.id == 0, "split"] = "train"
    bmus.to_parquet(folder / "bmus.parquet")
    (run,) = read_runs([folder])
    assert run.samples.tolist() == [3, 4, 4]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ([{"model__backbone": "resnet50"}, {}], ["resnet50", "resnet18"]),
        ([{"model__weights": "none"}, {}], ["resnet18, weights none", "resnet18, weights default"]),
        ([{"model__weights": "/far/robust.pth"}, {}], ["resnet18, weights robust.pth", "resnet18, weights default"]),
        ([{}, {}], ["runs/a0", "runs/a1"]),
    ],
)
def test_the_shortest_names_that_differ(make_run, settings, names):
    folders = [make_run(f"a{number}", **each) for number, each in enumerate(settings)]
    assert [run.name for run in read_runs(folders)] == names
    assert [run.name for run in read_runs(folders, ["SOM-tr", "SOM-val"])] == ["SOM-tr", "SOM-val"]


def test_folders_of_equal_ends_are_told_apart_further_up(make_run):
    folders = [make_run("x/v/0"), make_run("y/v/0", seed=1)]
    assert [run.name for run in read_runs(folders)] == ["x/v/0", "y/v/0"]


def test_images_decide_what_was_listed(make_run):
    same, other, fewer = (
        read_runs([make_run(name, **settings)])[0]
        for name, settings in (("a", {}), ("b", {"seed": 3}), ("c", {"images": 3}))
    )
    assert same.listings == other.listings
    assert same.listings != fewer.listings


def test_a_run_without_a_list_of_images_or_a_fit(make_run):
    folder = make_run(losses=False)
    (folder / "images.parquet").unlink()
    (run,) = read_runs([folder])
    assert run.classes == ("class 0", "class 1", "class 2")
    assert run.losses == {}
    assert run.listings == {}


def test_no_such_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no run '.*nowhere': give the folders of runs"):
        read_runs([tmp_path / "nowhere"])


@pytest.mark.parametrize("missing", ["config.yaml", "bmus.parquet", "measures.json"])
def test_a_half_finished_run(make_run, missing):
    folder = make_run()
    (folder / missing).unlink()
    with pytest.raises(
        FileNotFoundError, match=f"is no finished run, it lacks {missing}: let its analysis come to its end"
    ):
        read_runs([folder])


def test_a_run_that_was_attacked_but_not_analysed(make_run):
    folder = make_run(measures={"test": {}})
    with pytest.raises(FileNotFoundError, match="it lacks the measures of an analysis"):
        read_runs([folder])


def test_the_folder_of_an_experiment(make_run):
    folder = make_run("quickstart/version_3")
    with pytest.raises(FileNotFoundError, match=r"holds several runs: give one of .*version_3"):
        read_runs([folder.parent])


def test_the_same_run_twice(make_run):
    folder = make_run()
    with pytest.raises(ValueError, match="is given twice: give each run once"):
        read_runs([folder, folder.parent / "." / folder.name])


@pytest.mark.parametrize("names", [["one"], ["one", "one"], ["one", "two", "three"]])
def test_names_that_do_not_pair_up(make_run, names):
    with pytest.raises(ValueError, match="--names must be one different name for each of the 2 runs"):
        read_runs([make_run("a"), make_run("b")], names)


def test_files_that_are_not_a_run_s_own(make_run):
    folder = make_run()
    (folder / "config.yaml").write_text("trainer: {}\n")
    with pytest.raises(ValueError, match=r"does not set model\.rows: is it a run's own\?"):
        read_runs([folder])


def test_no_validation_images(make_run):
    folder = make_run()
    bmus = pd.read_parquet(folder / "bmus.parquet")
    bmus[:0].to_parquet(folder / "bmus.parquet")
    with pytest.raises(ValueError, match=r"no validation images in its bmus\.parquet"):
        read_runs([folder])
    (folder / "measures.json").write_text(json.dumps({"validate": {}}))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", b"model: [1\n"),
        ("config.yaml", b"- 1\n"),
        ("config.yaml", b"\xff\xfe\x80"),
        ("measures.json", b"{validate"),
        ("measures.json", b"[]"),
        ("measures.json", b'{"validate": 3}'),
        ("measures.json", b"\xff"),
    ],
)
def test_a_broken_file_is_named(make_run, name, content):
    folder = make_run()
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"'.*{name}' (is broken|holds no) .*: (put|run)") as error:
        read_runs([folder])
    assert "\n" not in str(error.value)

import io

import pandas as pd
import pytest

from compare.run import read_runs
from compare.table import csv_table, markdown_table, rows


@pytest.fixture
def runs(make_run):
    return read_runs([make_run("a"), make_run("b", seed=1)], ["one", "two|too"])


def read(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), comment="#", keep_default_na=True)


def test_every_number_by_run_and_depth(runs):
    table = read(csv_table(rows(runs), []))
    assert list(table.columns) == [
        "run", "measure", "depth", "value", "low", "high", "null_mean", "null_low", "null_high", "p_value",
    ]  # fmt: skip
    lift = table[table.measure == "validate/collision_lift"]
    assert lift[["run", "depth", "value"]].values.tolist() == [
        ["one", "CL2", 1], ["one", "CL1", 2], ["two|too", "CL2", 2], ["two|too", "CL1", 3],
    ]  # fmt: skip
    assert set(lift.low) == {0.5}
    assert set(lift.high) == {9}
    assert set(lift.null_mean) == {1}
    assert set(lift.p_value) == {0.02}
    assert lift.null_low.isna().all()
    similar = table[(table.measure == "validate/cka_CL2") & (table.run == "one")]
    assert similar.depth.tolist() == ["CL2", "CL1"]
    assert table[table.measure == "validate/mean_dead"].value.isna().all()
    moved = table[table.measure == "test/attacks/pgd/4/255/displacement"]
    assert moved.value.tolist() == [1.5] * 4
    images = table[table.measure == "test/images"]
    assert images.depth.isna().all()
    assert images.value.tolist() == [20, 20]
    assert not table.duplicated(["run", "measure", "depth"]).any()


def test_names_that_only_look_like_intervals(make_run):
    measures = {"validate": {"rate": {"CL2": {"low": 1, "value": 2}}, "only_low": {"CL2": 3, "CL1": 4}}}
    found = {(row.measure, row.depth): row for row in rows(read_runs([make_run(measures=measures)]))}
    assert found["validate/only_low", "CL1"].value == 4
    assert found["validate/rate/CL2/low", ""].value == 1


def test_warnings_head_the_tables(runs):
    found = rows(runs)
    text = csv_table(found, ["data.root (x: one; y: two)"])
    assert text.startswith("# WARNING: the runs differ in data.root (x: one; y: two)\nrun,measure")
    assert len(read(text)) == len(found)
    text = markdown_table(found, runs, ["data.root (x: one; y: two)"])
    assert text.index("**WARNING**: the runs differ in data.root") < text.index("| run |")
    assert "WARNING" not in markdown_table(found, runs, [])


def test_markdown_sets_runs_side_by_side(runs):
    lines = markdown_table(rows(runs), runs, []).splitlines()
    assert "| measure | run | CL2 | CL1 |" in lines
    first, second = (number for number, line in enumerate(lines) if line.startswith("| validate/collision_lift |"))
    assert lines[first] == "| validate/collision_lift | one | 1 [0.5, 9] (1, p = 0.02) | 2 [0.5, 9] (1, p = 0.02) |"
    assert second == first + 1
    assert "two\\|too" in lines[second]
    assert "| validate/mean_dead | one | undefined | undefined |" in lines
    assert "| test/images | one | 20 |" in lines
    assert any("| one | resnet18 | default | 3 x 4 torus | 12 |" in line for line in lines)
    assert len({line.count("|") - line.count("\\|") for line in lines if line.startswith("| validate")}) == 1


def test_depths_that_only_one_run_has(make_run):
    runs = read_runs([make_run("a"), make_run("b", depths=("CL2", "layer9"))], ["one", "two"])
    lines = markdown_table(rows(runs), runs, []).splitlines()
    assert "| measure | run | CL2 | CL1 | layer9 |" in lines
    (line,) = (line for line in lines if line.startswith("| validate/collision_lift | two"))
    assert line.split(" | ")[3] == "", "no CL1 in the second run"

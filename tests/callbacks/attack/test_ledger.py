import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from callbacks.attack.ledger import AttackLedger, ledger_schema, read_ledger
from callbacks.attack.specs import parse_attacks

DEPTHS = ("CL1", "layer2.0")
SPECS = parse_attacks(["pgd", "fgsm", "deepfool"], [4, 1], 3)
SETTINGS = {"seed": 5, "attacks": {"fgsm": [1, 4]}}


def make_ledger(folder, settings=SETTINGS) -> AttackLedger:
    strategy = SimpleNamespace(barrier=lambda name: None)
    trainer = SimpleNamespace(global_rank=0, world_size=1, is_global_zero=True, strategy=strategy)
    return AttackLedger(folder, ledger_schema(DEPTHS, "own prediction", False), SPECS, settings, trainer)


def rows(ids, attack="fgsm", budget=4.0) -> dict:
    attacked = np.array([number % 2 == 0 for number in ids])
    linf = pa.array(np.array(ids) / 100, mask=~attacked)
    settings = {"attack": attack, "budget": budget, "epsilon": None if budget is None else budget / 255, "seed": 5}
    return {"id": np.array(ids), "label": np.array(ids) + 1, "attacked": attacked, "linf": linf} | settings


def read(folder) -> pd.DataFrame:
    return pd.read_parquet(folder / "adversarial.parquet")


def test_rows_are_sorted_by_attack_budget_and_id(tmp_path):
    ledger = make_ledger(tmp_path)
    ledger.write("pgd", [rows([5, 2], "pgd", budget) for budget in (1.0, 4.0)])
    ledger.write("fgsm", [rows([5, 2], "fgsm", budget) for budget in (1.0, 4.0)])
    ledger.write("fgsm", [rows([3, 0], "fgsm", budget) for budget in (1.0, 4.0)])
    ledger.write("deepfool", [rows([2, 1], "deepfool", None)])
    ledger.close()
    table = read(tmp_path)
    keys = list(zip(table["attack"], table["budget"].fillna(-1), table["id"], strict=True))
    assert keys == [
        *(("deepfool", -1, number) for number in (1, 2)),
        *(("fgsm", budget, number) for budget in (1, 4) for number in (0, 2, 3, 5)),
        *(("pgd", budget, number) for budget in (1, 4) for number in (2, 5)),
    ]
    assert (table["label"] == table["id"] + 1).all()
    assert table["linf"].isna().equals(~table["attacked"]), "null where an image was not attacked"
    np.testing.assert_allclose(table["linf"].dropna(), table["id"][table["attacked"]] / 100)
    assert table["layer2.0_control_row"].isna().all(), "columns that are not given are null"
    assert not list(tmp_path.glob(".*"))


def test_what_was_written_is_known_after_a_start_anew(tmp_path):
    first = make_ledger(tmp_path)
    ids = torch.tensor([4, 1, 7])
    assert first.missing("fgsm", ids).all()
    first.write("fgsm", [rows([1, 7], "fgsm", budget) for budget in (1.0, 4.0)])
    (tmp_path / ".adversarial.parts" / ".fgsm@000000009.parquet.part").write_bytes(b"half")  # killed while writing
    second = make_ledger(tmp_path)
    assert second.missing("fgsm", ids).tolist() == [True, False, False]
    assert second.missing("pgd", ids).all()
    assert second.finished("fgsm") == 2
    second.write("fgsm", [rows([4], "fgsm", budget) for budget in (1.0, 4.0)])
    second.close()
    assert read(tmp_path)["id"].tolist() == [1, 4, 7, 1, 4, 7]
    assert not list(tmp_path.glob(".*"))


def test_batches_and_their_order_leave_the_same_bytes(tmp_path):
    for name, batches in (("one", [[0, 1, 2, 3]]), ("two", [[3, 1], [2, 0]])):
        ledger = make_ledger(tmp_path / name)
        for ids in batches:
            ledger.write("fgsm", [rows(ids, "fgsm", budget) for budget in (1.0, 4.0)])
        ledger.close()
    one, two = (tmp_path / name / "adversarial.parquet" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_other_settings_are_refused_and_nothing_is_lost(tmp_path):
    make_ledger(tmp_path).write("fgsm", [rows([1])])
    message = r"interrupted, with other settings \(attacks, extra, seed\): give the same settings to go on with it"
    with pytest.raises(ValueError, match=message):
        make_ledger(tmp_path, {"seed": 6, "attacks": {"fgsm": [1]}, "extra": 1})
    assert make_ledger(tmp_path).finished("fgsm") == 1


def test_reading_a_group_at_a_time(tmp_path):
    ledger = make_ledger(tmp_path)
    ledger.write("fgsm", [rows([2, 1], "fgsm", budget) for budget in (1.0, 4.0)])
    ledger.write("deepfool", [rows([2, 1], "deepfool", None)])
    ledger.close()
    groups = list(read_ledger(tmp_path / "adversarial.parquet"))
    assert [(group["attack"][0], group["budget"][0]) for group in groups][1:] == [("fgsm", 1), ("fgsm", 4)]
    assert np.isnan(groups[0]["budget"]).all()
    for group in groups:
        assert group["id"].tolist() == [1, 2]
        assert np.isnan(group["linf"]).tolist() == [True, False]
        assert group["CL1_control_row"].tolist() == [-1, -1]
        assert group["attacked"].dtype == bool


@pytest.mark.parametrize("referenced", [False, True])
def test_schema(tmp_path, referenced):
    schema = ledger_schema(DEPTHS, "own prediction", referenced)
    kinds = ("clean", "adversarial", "control", "gaussian")
    outliers = ("lid", "knn", "mahalanobis") if referenced else ()
    changes = ("shift", "progress") if referenced else ("shift",)
    expected = {
        **dict.fromkeys(("id", "label", "reference", "target", "seed"), "int64"),
        **dict.fromkeys(("attack", "norm", "control", "source"), "string"),
        **dict.fromkeys(("budget", "epsilon"), "double"),
        "attacked": "bool",
        **{f"{kind}_prediction": "int64" for kind in kinds},
        **{f"{kind}_{score}": "float" for kind in kinds for score in ("confidence", "energy")},
        "logit_margin": "float",
        **{
            f"{before}{norm}": "float"
            for before in ("", "control_", "gaussian_")
            for norm in ("linf", "l2", "l1", "l0")
        },
        **dict.fromkeys(("steps", "restarts"), "int32"),
        **{f"{depth}_{kind}_{axis}": "int32" for depth in DEPTHS for kind in kinds for axis in ("row", "col")},
        **{f"{depth}_margin": "float" for depth in DEPTHS},
        **{f"{depth}_{kind}_{score}": "float" for depth in DEPTHS for kind in kinds for score in ("error", *outliers)},
        **{f"{depth}_{kind}_{change}": "float" for depth in DEPTHS for kind in kinds[1:] for change in changes},
    }
    assert {field.name: str(field.type) for field in schema} == expected
    assert schema.metadata[b"reference"] == b"own prediction"
    assert schema.metadata[b"unit of budget"].startswith(b"as in the config: 1/255 of the pixel range for linf")
    assert schema.metadata[b"unit of linf"] == b"pixel values in [0, 1]"


def test_the_file_says_with_what_settings_it_was_made(tmp_path):
    ledger = make_ledger(tmp_path)
    ledger.close()
    schema = pq.read_schema(tmp_path / "adversarial.parquet")
    assert json.loads(schema.metadata[b"settings"]) == SETTINGS
    assert schema.metadata[b"reference"] == b"own prediction"
    assert len(read(tmp_path)) == 0

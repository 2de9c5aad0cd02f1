from types import SimpleNamespace

import pandas as pd
import pyarrow.parquet as pq
import torch

from callbacks.attack_ledger import AttackLedger

DEPTHS = ("CL1", "layer2.0")
SETTINGS = {"attack": "fgsm", "epsilon_255": 4, "epsilon": 4 / 255, "steps": 1, "seed": 5}


def make_ledger(folder) -> AttackLedger:
    strategy = SimpleNamespace(barrier=lambda name: None)
    trainer = SimpleNamespace(global_rank=0, world_size=1, is_global_zero=True, strategy=strategy)
    return AttackLedger(folder, DEPTHS, 4, "own prediction", trainer)


def clean(ids: list[int]) -> dict[str, torch.Tensor]:
    columns = {"id": ids, "label": [k + 1 for k in ids], "reference": [k + 2 for k in ids]}
    columns |= {"clean_prediction": [k + 3 for k in ids], "CL1_clean": [7] * len(ids), "layer2.0_clean": ids}
    return {name: torch.tensor(values) for name, values in columns.items()}


def found(count: int) -> dict[str, torch.Tensor]:
    numbers = torch.arange(count)
    columns = {name: numbers + 0.5 for name in ("linf", "l2", "control_linf", "control_l2")}
    columns |= {f"{kind}_prediction": numbers + 20 for kind in ("adversarial", "control")}
    return columns | {f"{depth}_{kind}": numbers + 10 for depth in DEPTHS for kind in ("adversarial", "control")}


def test_values_stand_at_their_images_and_null_elsewhere(tmp_path):
    ledger = make_ledger(tmp_path)
    attacked = torch.tensor([False, True, False, True])
    ledger.write(clean([4, 3, 2, 1]), attacked, found(2), SETTINGS)
    ledger.close()
    table = pd.read_parquet(tmp_path / "adversarial.parquet")
    assert table["id"].tolist() == [1, 2, 3, 4]
    assert table["attacked"].tolist() == [True, False, True, False]
    for name, first in {
        "linf": 0.5,
        "control_l2": 0.5,
        "adversarial_prediction": 20,
        "control_prediction": 20,
        "CL1_adversarial_col": 2,  # units 10 and 11 of a lattice with 4 columns
        "layer2.0_control_col": 2,
    }.items():
        # Image 3 came before image 1 in the batch.
        assert table[name][[0, 2]].tolist() == [first + 1, first], name
        assert table[name][[1, 3]].isna().all(), name
    assert table["label"].tolist() == [2, 3, 4, 5]
    assert table["clean_prediction"].tolist() == [4, 5, 6, 7]
    assert table["layer2.0_clean_row"].tolist() == [0, 0, 0, 1]
    assert table["layer2.0_clean_col"].tolist() == [1, 2, 3, 0]
    assert table["CL1_adversarial_row"][[0, 2]].tolist() == [2, 2]
    assert (table["attack"] == "fgsm").all()
    assert (table["epsilon_255"] == 4).all()
    assert (table["epsilon"] == 4 / 255).all()


def test_a_batch_without_attacked_images(tmp_path):
    ledger = make_ledger(tmp_path)
    ledger.write(clean([1, 0]), torch.tensor([False, False]), None, SETTINGS)
    ledger.close()
    table = pd.read_parquet(tmp_path / "adversarial.parquet")
    assert table["id"].tolist() == [0, 1]
    assert table[["linf", "adversarial_prediction", "CL1_control_row"]].isna().all(axis=None)


def test_sorted_by_attack_budget_and_id(tmp_path):
    ledger = make_ledger(tmp_path)
    for settings in (SETTINGS | {"attack": "pgd"}, SETTINGS, SETTINGS | {"epsilon_255": 1, "epsilon": 1 / 255}):
        ledger.write(clean([1, 0]), torch.tensor([True, False]), found(1), settings)
    ledger.close()
    table = pd.read_parquet(tmp_path / "adversarial.parquet")
    keys = list(zip(table["attack"], table["epsilon_255"], table["id"], strict=True))
    assert keys == [("fgsm", e, k) for e in (1, 4) for k in (0, 1)] + [("pgd", 4, k) for k in (0, 1)]


def test_schema(tmp_path):
    make_ledger(tmp_path).close()
    schema = pq.read_schema(tmp_path / "adversarial.parquet")
    assert {field.name: str(field.type) for field in schema} == {
        "id": "int64",
        "label": "int64",
        "reference": "int64",
        "attack": "string",
        "epsilon_255": "double",
        "epsilon": "double",
        "attacked": "bool",
        "clean_prediction": "int64",
        "adversarial_prediction": "int64",
        "control_prediction": "int64",
        "linf": "float",
        "l2": "float",
        "control_linf": "float",
        "control_l2": "float",
        "steps": "int32",
        "seed": "int64",
        **{
            f"{depth}_{kind}_{axis}": "int32"
            for depth in DEPTHS
            for kind in ("clean", "adversarial", "control")
            for axis in ("row", "col")
        },
    }
    assert schema.metadata[b"reference"] == b"own prediction"
    assert schema.metadata[b"unit of epsilon_255"] == b"1/255 of the pixel range, as in the config"
    assert schema.metadata[b"unit of linf"] == schema.metadata[b"unit of epsilon"] == b"pixel values in [0, 1]"


def test_abandoned_rows_leave_an_earlier_ledger(tmp_path):
    ledger = make_ledger(tmp_path)
    ledger.write(clean([1]), torch.tensor([True]), found(1), SETTINGS)
    ledger.abandon()
    assert list(tmp_path.iterdir()) == []

"""The summary of a whole ledger, against pandas on the same rows."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats

from callbacks.attack.ledger import ledger_schema
from callbacks.attack.summary import summarise
from measures import ClassRegions, wilson_interval
from tests.callbacks.ledgers import DEPTHS, LATTICE, columns, context, units

HITS = torch.from_numpy(np.random.default_rng(3).poisson(0.6, (4, 20))).long()


def write(path, *groups) -> pd.DataFrame:
    """A ledger whose groups are given, one row group each; null where an image was not attacked."""
    schema = ledger_schema(DEPTHS, "labels", True)
    with pq.ParquetWriter(path, schema) as writer:
        for rows in groups:
            hit = rows["attacked"]
            arrays = []
            for field in schema:
                values = rows[field.name]
                own = field.name.startswith(("adversarial", "control_", "gaussian")) or field.name in ("linf", "l2")
                nulls = ~hit if own else pd.isna(values)
                arrays.append(pa.array(values, mask=np.asarray(nulls)).cast(field.type))
            writer.write_table(pa.table(arrays, schema=schema), row_group_size=len(hit))
    return pd.read_parquet(path)


@pytest.fixture
def ledger(tmp_path):
    random = np.random.default_rng(0)
    attacked = np.arange(24) % 6 > 0
    clean = np.where(attacked, 0, 3)
    groups = [
        columns(24, seed, label=label, at=at, attacked=attacked, clean_prediction=clean,
                adversarial_prediction=(random.random(24) < share).astype(np.int64),
                control_prediction=(random.random(24) < 0.1).astype(np.int64))
        for seed, (label, at, share) in enumerate((("deepfool", None, 0.9), ("fgsm", 1.0, 0.3), ("fgsm", 4.0, 0.8)))
    ]  # fmt: skip
    groups[0]["l2"] = 3 * random.random(24)
    return tmp_path / "adversarial.parquet", write(tmp_path / "adversarial.parquet", *groups), groups


def rate(successes, trials):
    low, high = wilson_interval(int(successes), int(trials))
    return pytest.approx({"rate": successes / trials, "low": low, "high": high, "trials": trials})


def test_rates_and_means(ledger):
    path, table, _ = ledger
    results = summarise(path, context("fgsm", "deepfool"))
    assert list(results["attacks"]) == ["fgsm", "deepfool"]
    assert list(results["attacks"]["fgsm"]) == ["1/255", "4/255"]
    for at in (1.0, 4.0):
        rows = table[(table["attack"] == "fgsm") & (table["budget"] == at) & table["attacked"]]
        numbers = results["attacks"]["fgsm"][f"{at:g}/255"]
        fallen = (rows["adversarial_prediction"] != rows["reference"]).sum()
        assert numbers["attack_success"] == rate(fallen, 20)
        assert numbers["robust_accuracy"] == rate(20 - fallen, 24), "the 4 that are wrong when clean count"
        assert numbers["control_success"] == rate((rows["control_prediction"] != rows["reference"]).sum(), 20)
        assert results["curves"]["fgsm"][f"{at:g}/255"]["robust_accuracy"] == numbers["robust_accuracy"]
        plain = {name: rows[name].to_numpy() for name in rows if "_row" in name or "_col" in name}
        moved = LATTICE.distance(units(plain, "CL1", "clean"), units(plain, "CL1", "adversarial"))
        assert numbers["displacement"]["CL1"] == pytest.approx(float(moved.mean()))
        norms = 255 * rows["linf"][rows["adversarial_prediction"] != rows["reference"]].astype(float)
        assert numbers["norm"]["median"] == pytest.approx(norms.median(), rel=1e-6)


def test_success_at_each_budget_follows_from_one_run_for_the_least_norm(ledger):
    path, table, _ = ledger
    curve = summarise(path, context("fgsm", "deepfool"))["curves"]["deepfool"]
    rows = table[(table["attack"] == "deepfool") & table["attacked"]]
    assert list(curve) == ["0.1", "0.25", "0.5", "1", "2", "4"]
    for name, numbers in curve.items():
        fallen = ((rows["adversarial_prediction"] != 0) & (rows["l2"] <= float(name))).sum()
        assert numbers["attack_success"] == rate(fallen, 20)
        assert numbers["robust_accuracy"] == rate(20 - fallen, 24)


def test_homogeneity_is_the_rank_correlation_of_norm_and_density(ledger):
    path, table, _ = ledger
    results = summarise(path, context("fgsm", "deepfool", regions=HITS, images=31))
    assert results["reference_images"] == 31
    assert list(results["homogeneity"]) == ["deepfool"]
    rows = table[(table["attack"] == "deepfool") & table["attacked"] & (table["adversarial_prediction"] != 0)]
    plain = {name: rows[name].to_numpy() for name in rows if "_row" in name or "_col" in name}
    density = ClassRegions(HITS, LATTICE).log_density(units(plain, "CL2", "clean"))
    found = results["homogeneity"]["deepfool"]["CL2"]
    assert found["correlation"]["value"] == pytest.approx(stats.spearmanr(rows["l2"], density).statistic)
    assert found["correlation"]["samples"] == len(rows)
    assert found["given_logit_margin"]["value"] != found["correlation"]["value"]
    assert found["correlation"]["low"] <= found["correlation"]["value"] <= found["correlation"]["high"]


def test_without_training_images_that_is_null(ledger):
    results = summarise(ledger[0], context("fgsm", "deepfool"))
    assert results["homogeneity"] is None
    assert results["attacks"]["fgsm"]["1/255"]["leaving"] is None
    assert results["specs"]["deepfool"]["kind"] == "minimal"
    assert [check["passed"] for check in results["checks"]][2] is None


def test_an_attack_without_rows_has_no_numbers(tmp_path):
    path = tmp_path / "adversarial.parquet"
    write(path)
    results = summarise(path, context("fgsm"))
    assert results["attacks"] == {"fgsm": {}}
    assert results["curves"] == {}
    assert SimpleNamespace(**results).homogeneity is None

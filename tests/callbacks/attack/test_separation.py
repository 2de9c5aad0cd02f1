import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from callbacks.attack.separation import separation, separation_scores
from measures import ClassRegions
from tests.callbacks.ledgers import DEPTHS, LATTICE, columns, context, group, units

HITS = torch.from_numpy(np.random.default_rng(3).poisson(0.6, (4, 20))).long()

NEGATIVE = ("clean", "control", "gaussian")


@pytest.fixture
def rows():
    attacked = np.arange(40) % 4 > 0
    return columns(40, attacked=attacked, adversarial_prediction=(np.arange(40) % 3 > 0).astype(np.int64))


def expected(positive, negative):
    return roc_auc_score([1] * len(positive) + [0] * len(negative), np.concatenate([positive, negative]))


def test_positives_are_successes_and_negatives_clean_and_both_controls(rows):
    found = separation(group(40, **rows))
    hit = rows["attacked"]
    won = hit & (rows["adversarial_prediction"] == 1)
    for depth in DEPTHS:
        for score, suffix in (("relative_error", "error"), ("lid", "lid"), ("knn", "knn"), ("mahalanobis",) * 2):
            negative = np.concatenate(
                [rows[f"{depth}_{kind}_{suffix}"][hit] for kind in ("clean", "control", "gaussian")]
            )
            value, low, high = found[score][depth]
            assert value == pytest.approx(expected(rows[f"{depth}_adversarial_{suffix}"][won], negative), abs=1e-6)
            assert low < value < high
    negative = -np.concatenate([rows[f"{kind}_confidence"][hit] for kind in ("clean", "control", "gaussian")])
    assert found["max_softmax"]["all"][0] == pytest.approx(
        expected(-rows["adversarial_confidence"][won], negative), abs=1e-6
    )
    assert "log_density" not in found, "that needs training images"


def test_a_control_that_is_gaussian_counts_once(rows):
    rows["control"] = np.array(["gaussian"] * 40)
    scores = separation_scores(group(40, context("pgd_l2"), **rows | {"attack": np.array(["pgd_l2"] * 40)}))
    positive, negative, *_ = scores["energy"]["all"]
    assert len(negative) == 2 * 30
    assert len(positive) == 20


def test_scores_of_the_map(rows):
    scores = separation_scores(group(40, context(regions=HITS), **rows))
    regions = ClassRegions(HITS, LATTICE)
    won = rows["attacked"] & (rows["adversarial_prediction"] == 1)
    at = units(rows, "CL2", "adversarial")[won]
    torch.testing.assert_close(scores["log_density"]["CL2"][0], -regions.log_density(at))
    surprise = -regions.log_probability(at, torch.ones(len(at), dtype=torch.int64))
    torch.testing.assert_close(scores["log_class_probability"]["CL2"][0], surprise)
    first, second = (regions.probabilities(units(rows, depth, "adversarial")[won]) for depth in DEPTHS)
    torch.testing.assert_close(scores["disagreement"]["all"][0], (first - second).abs().sum(1) / 2)


def test_many_images_are_taken_in_parts(rows, monkeypatch):
    whole = separation_scores(group(40, context(regions=HITS), **rows))["disagreement"]["all"]
    monkeypatch.setattr("callbacks.attack.separation.CHUNK", 13)
    parts = separation_scores(group(40, context(regions=HITS), **rows))["disagreement"]["all"]
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_no_figure_where_images_are_not_disjoint_or_none_was_fooled(rows):
    assert separation(group(40, context(embedded=True), **rows)) is None
    assert separation(group(4, adversarial_prediction=np.zeros(4, np.int64))) is None


def test_undefined_scores_are_left_out(rows):
    for kind in ("clean", "adversarial", "control", "gaussian"):
        rows[f"CL1_{kind}_lid"] = np.full(40, np.nan)
    rows["CL2_adversarial_lid"][:20] = np.nan
    scores = separation_scores(group(40, **rows))
    assert list(scores["lid"]) == ["CL2"]
    won = rows["attacked"] & (rows["adversarial_prediction"] == 1) & (np.arange(40) >= 20)
    assert len(scores["lid"]["CL2"][0]) == won.sum()

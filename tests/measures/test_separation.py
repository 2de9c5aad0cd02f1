import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc

from measures import auroc, auroc_interval, roc_curve


@pytest.fixture(params=[False, True], ids=["continuous", "tied"])
def scores(request):
    random = np.random.default_rng(0)
    positive, negative = random.normal(0.7, 1, 23), random.normal(0, 1, 41)
    if request.param:
        positive, negative = positive.round(), negative.round()
    return torch.from_numpy(positive), torch.from_numpy(negative)


def test_auroc_is_that_of_scikit_learn(scores):
    labels = [1] * len(scores[0]) + [0] * len(scores[1])
    expected = roc_auc_score(labels, torch.cat(scores))
    assert float(auroc(*scores)) == pytest.approx(expected, abs=1e-6)
    assert float(auroc(scores[1], scores[0])) == pytest.approx(1 - expected, abs=1e-6)
    false, true, _ = sklearn_roc(labels, torch.cat(scores), drop_intermediate=False)
    np.testing.assert_allclose(roc_curve(*scores), (false, true), atol=1e-6)


def test_extremes():
    low, high = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0, 4.0])
    assert (float(auroc(high, low)), float(auroc(low, high)), float(auroc(low, low))) == (1, 0, 0.5)
    assert auroc(low[:0], high).isnan()
    assert np.isnan(auroc_interval(low, high[:0], torch.arange(2), torch.arange(0))).all()


def test_interval_is_that_of_drawing_groups(scores):
    positive, negative = scores
    groups = torch.arange(23), torch.arange(41) % 30
    value, low, high = auroc_interval(positive, negative, *groups, draws=300, seed=1)
    assert value == pytest.approx(float(auroc(positive, negative)))
    random, drawn = np.random.default_rng(1), []
    for _ in range(300):
        counts = torch.from_numpy(random.multinomial(30, np.full(30, 1 / 30)))
        again = [each.repeat_interleave(counts[group]) for each, group in zip(scores, groups, strict=True)]
        drawn.append(float(auroc(*again)))
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-6)
    assert low < value < high


def test_the_interval_knows_that_versions_of_an_image_go_together():
    random = np.random.default_rng(2)
    base = random.normal(size=40)
    positive, negative = (torch.from_numpy(np.repeat(base, 10) + shift) for shift in (0.5, 0.0))
    together, apart = torch.arange(40).repeat_interleave(10), torch.arange(400)
    wide = auroc_interval(positive, negative, together, together)
    narrow = auroc_interval(positive, negative, apart, apart + 400)
    assert wide[0] == narrow[0]
    assert narrow[2] - narrow[1] < wide[2] - wide[1] or wide[2] - wide[1] < 0.2


def test_many_draws_are_taken_in_parts(scores, monkeypatch):
    groups = torch.arange(23), torch.arange(41)
    whole = auroc_interval(*scores, *groups, draws=20)
    assert auroc_interval(*scores, *groups, draws=20) == whole, "seeded"
    assert auroc_interval(*scores, *groups, draws=20, seed=3)[1:] != whole[1:]

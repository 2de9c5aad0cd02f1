import numpy as np
import pytest
import torch
from sklearn.covariance import OAS
from sklearn.neighbors import NearestNeighbors

from measures import CodeBank


@pytest.fixture(params=[6, 60], ids=["fewer dimensions than samples", "more"])
def bank(request):
    random = np.random.default_rng(0)
    label = np.arange(40) % 3
    codes = random.normal(size=(40, request.param)) * np.linspace(0.5, 3, request.param) + 2.0 * label[:, None] + 100
    return torch.from_numpy(codes).float(), torch.from_numpy(label)


def queries(codes):
    generator = torch.Generator().manual_seed(1)
    return codes[:7] + torch.randn(7, codes.shape[1], generator=generator)


def test_neighbours_are_those_of_scikit_learn(bank):
    codes, label = bank
    found = CodeBank(codes, label, neighbours=5)
    expected, _ = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(codes).kneighbors(queries(codes))
    np.testing.assert_allclose(found.distances(queries(codes)), expected, rtol=1e-3)
    scores = found.scores(queries(codes))
    np.testing.assert_allclose(scores["knn"], expected[:, -1], rtol=1e-3)
    lid = [-1 / np.mean([np.log(r / row[-1]) for r in row]) for row in expected]
    np.testing.assert_allclose(scores["lid"], lid, rtol=0.02)


def test_mahalanobis_is_that_of_a_shrunk_covariance_within_classes(bank):
    codes, label = bank
    means = torch.stack([codes[label == k].mean(0) for k in range(3)]).double().numpy()
    inside = codes.double().numpy() - means[label]
    precision = np.linalg.inv(OAS(assume_centered=True).fit(inside).covariance_)
    expected = [min((x - m) @ precision @ (x - m) for m in means) for x in queries(codes).double().numpy()]
    found = CodeBank(codes, label, neighbours=5).scores(queries(codes))["mahalanobis"]
    np.testing.assert_allclose(found, expected, rtol=5e-3)


def test_classes_of_single_images_share_one_mean(bank):
    codes, _ = bank
    one = CodeBank(codes, torch.arange(40), neighbours=5).scores(queries(codes))["mahalanobis"]
    other = CodeBank(codes, torch.zeros(40, dtype=torch.int64), neighbours=5).scores(queries(codes))["mahalanobis"]
    torch.testing.assert_close(one, other)


def test_higher_is_more_unusual(bank):
    codes, label = bank
    far = queries(codes) + 50 * torch.randn(1, codes.shape[1], generator=torch.Generator().manual_seed(3))
    found = CodeBank(codes, label, neighbours=5)
    near, away = found.scores(codes[:7]), found.scores(far)
    for name in ("knn", "mahalanobis", "lid"):
        assert (away[name] > near[name]).all(), name


def test_a_bank_must_be_larger_than_the_neighbourhood():
    with pytest.raises(ValueError, match="20 neighbours need a bank of more codes; got 20"):
        CodeBank(torch.randn(20, 3), torch.zeros(20, dtype=torch.int64))


def test_copies_of_the_bank_have_finite_scores():
    codes = torch.ones(25, 3)
    codes[:12] += torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    scores = CodeBank(codes, torch.arange(25) % 2, neighbours=5).scores(codes)
    assert all(value.isfinite().all() for name, value in scores.items() if name != "lid")


def test_among_neighbours_that_are_all_equally_far_the_dimension_is_undefined():
    bank = CodeBank(torch.zeros(25, 3), torch.zeros(25, dtype=torch.int64), neighbours=5)
    assert bank.scores(torch.ones(2, 3))["lid"].isnan().all()

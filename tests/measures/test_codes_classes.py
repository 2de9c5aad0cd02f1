import math

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from measures import knn_accuracy, nearest_class_mean


def split(samples, seed, classes=4, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(classes, (samples,), generator=generator)
    codes = torch.randn(samples, 5, generator=generator) + offset
    codes[:, 0] += 1.5 * label
    return codes, label


@pytest.mark.parametrize("values", [1, 2**22])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_match_scikit_learn(values, offset, monkeypatch):
    monkeypatch.setattr("measures.codes_classes.VALUES", values)
    (train, train_label), (test, test_label) = split(80, 0, offset=offset), split(60, 1, offset=offset)
    arrays = [x.numpy() for x in (train.double(), train_label, test.double(), test_label)]
    expected = NearestCentroid().fit(*arrays[:2]).score(*arrays[2:])
    assert nearest_class_mean(train, train_label, test, test_label, 4).item() == pytest.approx(expected)
    expected = KNeighborsClassifier(1).fit(*arrays[:2]).score(*arrays[2:])
    assert knn_accuracy(train, train_label, test, test_label, 4, n_neighbors=1).item() == pytest.approx(expected)
    votes = KNeighborsClassifier(6).fit(*arrays[:2]).predict_proba(arrays[2]).round(6)
    named = [(row[c] == row.max()) / (row == row.max()).sum() for row, c in zip(votes, arrays[3], strict=True)]
    found = knn_accuracy(train, train_label, test, test_label, 4, n_neighbors=6).item()
    assert found == pytest.approx(sum(named) / len(named))


def test_agreement_with_predictions_and_absent_classes():
    train, label = torch.tensor([[0.0], [2.0], [8.0]]), torch.tensor([0, 0, 3])
    test = torch.tensor([[1.0], [7.0], [4.5]])  # the last is as near to either mean
    assert nearest_class_mean(train, label, test, torch.tensor([0, 3, 3]), 5).item() == pytest.approx(2.5 / 3)
    assert nearest_class_mean(train, label, test, torch.tensor([1, 1, 2]), 5) == 0
    assert knn_accuracy(train, label, test, torch.tensor([0, 0, 0]), 5, n_neighbors=9) == 1  # all vote
    assert knn_accuracy(train, label, test, torch.tensor([1, 1, 2]), 5) == 0


def test_labels_that_say_nothing_read_chance():
    (train, _), (test, _) = split(400, 0), split(4000, 1)
    generator = torch.Generator().manual_seed(0)
    labels = [torch.randint(4, (n,), generator=generator) for n in (400, 4000)]
    for function in (nearest_class_mean, knn_accuracy):
        assert function(train, labels[0], test, labels[1], 4).item() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("function", [nearest_class_mean, knn_accuracy])
def test_bad_input(function):
    codes, label = split(10, 0)
    assert math.isnan(function(codes[:0], label[:0], codes, label, 4))
    assert math.isnan(function(codes, label, codes[:0], label[:0], 4))
    assert function(codes, label * 0, codes, label * 0, 1) == 1  # one class
    with pytest.raises(ValueError, match="both splits must have codes of one dimension; got 5 and 4"):
        function(codes, label, codes[:, :4], label, 4)
    with pytest.raises(ValueError, match=r"label -1 is outside \[0, 4\): leave samples without a label out"):
        function(codes, label, codes, label * 0 - 1, 4)
    poisoned = codes.clone()
    poisoned[2] = math.nan
    with pytest.raises(ValueError, match="row 2 holds NaN"):
        function(codes, label, poisoned, label, 4)
    with pytest.raises(ValueError, match="n_neighbors must be 1 or more"):
        knn_accuracy(codes, label, codes, label, 4, n_neighbors=0)

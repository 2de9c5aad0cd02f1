"""What the codes alone tell of the classes, beside which the map is judged: nearest class mean and k nearest codes."""

import torch
from torch import Tensor

from measures.codes_similarity import check_labels, class_means

VALUES = 2**22  # distances in memory at a time


def nearest_class_mean(
    train: Tensor, train_label: Tensor, test: Tensor, test_label: Tensor, num_classes: int
) -> Tensor:
    """Share of test codes whose nearest class mean is that of their class; higher = classes are round and apart.

    With the network's own predictions for ``test_label`` it is the agreement of nearest-class-mean with the network,
    which tends to 1 where codes collapse onto class means (Papyan, Han and Donoho 2020, NC4).

    Args:
        train: (N, D) codes that the means are taken of, finite.
        train_label: (N,) int64 classes in [0, num_classes).
        test: (M, D) codes of other samples, finite.
        test_label: (M,) int64 in [0, num_classes): classes, or the network's predictions.
        num_classes: C.

    Returns:
        Scalar float32, from 0 to 1; about 1 / C by chance. Classes without training samples are never named; means at
        equal distance share. NaN without training or test samples.

    Raises:
        ValueError: if codes and labels do not pair up, a code is not finite, or a label is out of range.

    Example:
        >>> train, label = torch.tensor([[0.0], [2.0], [9.0]]), torch.tensor([0, 0, 1])
        >>> nearest_class_mean(train, label, torch.tensor([[4.0], [6.0]]), torch.tensor([0, 0]), 2)
        tensor(0.5000)
    """
    _check_splits(train, train_label, test, test_label, num_classes)
    means = class_means(train, train_label, num_classes)
    known = ~means[:, 0].isnan() if train.shape[1] else train_label.bincount(minlength=num_classes) > 0
    if not known.any():
        return torch.tensor(torch.nan, device=test.device)
    chance = test.new_zeros((), dtype=torch.float64)
    for codes, label in _chunks(test, test_label, num_classes):
        distances = torch.cdist(codes.double(), means.nan_to_num(), compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distances.masked_fill_(~known, torch.inf)
        nearest = nearest == nearest.amin(1, keepdim=True)
        chance += (nearest.gather(1, label[:, None])[:, 0] / nearest.sum(1).double()).sum()
    return (chance / len(test)).float()


def knn_accuracy(
    train: Tensor, train_label: Tensor, test: Tensor, test_label: Tensor, num_classes: int, n_neighbors: int = 5
) -> Tensor:
    """Share of test codes whose class most of their nearest training codes have; higher is better, up to 1.

    Args:
        train: (N, D) codes, finite.
        train_label: (N,) int64 classes in [0, num_classes).
        test: (M, D) codes of other samples, finite.
        test_label: (M,) int64 classes in [0, num_classes).
        num_classes: C.
        n_neighbors: k, 1 or more; all N if there are fewer.

    Returns:
        Scalar float32; about 1 / C by chance. Classes with equally many neighbours are named with equal chance, a
        class that ``train`` lacks never; of training codes at equal distance any may come first. NaN without training
        or test samples.

    Raises:
        ValueError: if codes and labels do not pair up, a code is not finite, a label is out of range, or
            ``n_neighbors`` is below 1.

    Example:
        >>> train, label = torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([0, 0, 1])
        >>> knn_accuracy(train, label, torch.tensor([[2.0], [8.0]]), torch.tensor([0, 1]), 2, n_neighbors=1)
        tensor(1.)
    """
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors must be 1 or more; got n_neighbors={n_neighbors}")
    _check_splits(train, train_label, test, test_label, num_classes)
    if not len(train):
        return torch.tensor(torch.nan, device=test.device)
    center = train.double().mean(0)  # products of centred codes keep the digits that a large offset would cost
    reference = train.double() - center
    squares = reference.square().sum(1)
    chance = test.new_zeros((), dtype=torch.float64)
    for codes, label in _chunks(test, test_label, len(train)):
        scores = torch.addmm(squares, codes.double() - center, reference.T, alpha=-2)
        nearest = scores.topk(min(n_neighbors, len(train)), largest=False).indices
        votes = torch.zeros(len(codes), num_classes, dtype=torch.int64, device=test.device)
        votes.scatter_add_(1, train_label[nearest], torch.ones_like(nearest))
        most = votes == votes.amax(1, keepdim=True)
        chance += (most.gather(1, label[:, None])[:, 0] / most.sum(1).double()).sum()
    return (chance / len(test)).float()


def _check_splits(train: Tensor, train_label: Tensor, test: Tensor, test_label: Tensor, num_classes: int) -> None:
    check_labels(train, train_label, num_classes)
    check_labels(test, test_label, num_classes)
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"both splits must have codes of one dimension; got {train.shape[1]} and {test.shape[1]}")


def _chunks(codes: Tensor, label: Tensor, width: int) -> zip:
    height = max(1, VALUES // max(1, width))
    return zip(codes.split(height), label.split(height), strict=True)

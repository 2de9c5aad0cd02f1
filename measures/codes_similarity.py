"""How alike two representations of the same images are: linear CKA, and RDMs with their correlation (RSA).

Neither needs equal dimensions, so they compare depths of one network, networks, and runs. CKA (Kornblith et al. 2019)
compares Gram matrices K = X X^T and L of N images by the Hilbert-Schmidt independence criterion, here in the unbiased
form of Song et al. (2012): with zeros on the diagonals of K and L and 1 a vector of ones,

    HSIC(K, L) = (tr(K L) + 1'K1 1'L1 / ((N - 1)(N - 2)) - 2 / (N - 2) 1'KL1) / (N (N - 3)),
    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)).

The plain (biased) CKA of unrelated codes tends to 1 as D outgrows N. A representational dissimilarity matrix
(Kriegeskorte et al. 2008) holds the distances between the mean codes of classes; RSA is the rank correlation of two.
"""

import torch
from scipy import stats
from torch import Tensor

from som.checks import check_finite


def linear_cka(first: Tensor, second: Tensor) -> Tensor:
    """Unbiased linear CKA of two sets of codes of the same images; higher = more alike.

    Unchanged by shifts, rotations and one scale for all dimensions, but not by standardising each. N x N numbers in
    memory: give a sample of some thousand, the same images in the same order (``measures.CodeSample``).

    Args:
        first: (N, D1), finite, N >= 4.
        second: (N, D2), finite.

    Returns:
        Scalar float32: 1 = equal up to those changes, 0 on average = independent; estimates may lie below 0. NaN for
        fewer than 4 images, or if either's own HSIC is not above 0, as where all codes are equal.

    Raises:
        ValueError: if the codes do not pair up or are not finite.

    Example:
        >>> codes = torch.tensor([[0.0, 1.0], [2.0, 0.0], [5.0, 3.0], [1.0, 1.0], [4.0, 0.0]])
        >>> round(linear_cka(codes, 3 * codes.flip(1) + 7).item(), 4)
        1.0
    """
    _check_pair(first, second)
    if len(first) < 4:
        return torch.tensor(torch.nan, device=first.device)
    ours, theirs = _gram(first), _gram(second)
    cross, *own = (_hsic(a, b) for a, b in ((ours, theirs), (ours, ours), (theirs, theirs)))
    scale = torch.stack(own)
    return torch.where((scale > 0).all(), cross / scale.clamp(min=0).prod().sqrt(), torch.nan).float()


def class_rdm(codes: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Distances between the mean codes of classes; no direction.

    Args:
        codes: (N, D), finite.
        label: (N,) int64 classes in [0, num_classes).
        num_classes: C.

    Returns:
        (C, C) float64: symmetric, Euclidean, 0 on the diagonal; NaN for classes without samples.

    Raises:
        ValueError: if codes and labels do not pair up, a code is not finite, or a label is out of range.

    Example:
        >>> class_rdm(torch.tensor([[0.0, 0.0], [0.0, 2.0], [4.0, 1.0]]), torch.tensor([0, 0, 1]), 2)
        tensor([[0., 4.],
                [4., 0.]], dtype=torch.float64)
    """
    means = class_means(codes, label, num_classes)
    return torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist")


def rsa(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation of two dissimilarity matrices; higher = classes lie alike.

    Args:
        first: (C, C), such as of :func:`class_rdm` or of distances between class centers on a map.
        second: (C, C), of the same classes.

    Returns:
        Scalar float32 from -1 to 1, over pairs of classes that both know; NaN for fewer than 3 such pairs, or if either
        has only one value.

    Raises:
        ValueError: if they are not square and of one size.

    Example:
        >>> rsa(torch.tensor([[0, 1, 2], [1, 0, 3], [2, 3, 0]]), torch.tensor([[0, 1, 4], [1, 0, 9], [4, 9, 0]]))
        tensor(1.)
    """
    if first.ndim != 2 or first.shape[0] != first.shape[1] or first.shape != second.shape:
        raise ValueError(
            f"matrices must be (C, C) of the same classes; got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    row, col = torch.triu_indices(len(first), len(first), 1)
    pairs = torch.stack((first.cpu()[row, col].double(), second.cpu()[row, col].double()))
    pairs = pairs[:, ~pairs.isnan().any(0)]
    if pairs.shape[1] < 3 or (pairs == pairs[:, :1]).all(1).any():
        return torch.tensor(torch.nan)
    return torch.tensor(stats.spearmanr(*pairs.numpy()).statistic, dtype=torch.float32)


def class_means(codes: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Mean code of each class.

    Args:
        codes: (N, D), finite.
        label: (N,) int64 classes in [0, num_classes).
        num_classes: C.

    Returns:
        (C, D) float64; NaN for classes without samples.

    Raises:
        ValueError: if codes and labels do not pair up, a code is not finite, or a label is out of range.
    """
    check_labels(codes, label, num_classes)
    sums = torch.zeros(num_classes, codes.shape[1], dtype=torch.float64, device=codes.device)
    sums.index_add_(0, label, codes.detach().double())
    return sums / label.bincount(minlength=num_classes)[:, None]


def check_labels(codes: Tensor, label: Tensor, num_classes: int) -> None:
    """Raise a ValueError unless codes (N, D) are finite and pair up with labels (N,) in [0, num_classes)."""
    if codes.ndim != 2 or label.shape != codes.shape[:1]:
        raise ValueError(
            f"codes (N, D) and label (N,) must pair up; got shapes {tuple(codes.shape)} and {tuple(label.shape)}"
        )
    check_finite(codes)
    outside = label[(label < 0) | (label >= num_classes)]
    if len(outside):
        raise ValueError(
            f"label {int(outside[0])} is outside [0, {num_classes}): leave samples without a label out, or raise "
            "num_classes"
        )


def _check_pair(first: Tensor, second: Tensor) -> None:
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second):
        raise ValueError(
            f"codes of the same images must be (N, D1) and (N, D2); got shapes {tuple(first.shape)} and "
            f"{tuple(second.shape)}"
        )
    check_finite(first)
    check_finite(second)


def _gram(codes: Tensor) -> Tensor:
    codes = codes.detach().double()
    codes = codes - codes.mean(0)  # HSIC does not change, but large offsets would cost digits
    return (codes @ codes.T).fill_diagonal_(0)


def _hsic(ours: Tensor, theirs: Tensor) -> Tensor:
    n = len(ours)
    sums, others = ours.sum(0), theirs.sum(0)
    total = (ours * theirs).sum() + sums.sum() * others.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * sums @ others
    return total / (n * (n - 3))

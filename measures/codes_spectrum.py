"""How many dimensions the codes' variance fills: their PCA spectrum and participation ratio.

Codes (N, D) with D up to 10,240 have a covariance of 400 MB, so neither is it made nor are its eigenvalues found from
all codes: a sample of N codes (``measures.CodeSample``) has a Gram matrix (N, N) of the same eigenvalues. From N codes
at most N - 1 are above 0, and the leading ones read high; so compare at equal N. The participation ratio
PR = (tr S)^2 / tr S^2 of the population's covariance S is estimated without that bias.
"""

import torch
from torch import Tensor

from som.checks import check_finite


def pca_spectrum(codes: Tensor) -> Tensor:
    """Variances of the codes along their principal directions, in descending order; no direction is better.

    Args:
        codes: (N, D), finite; min(N, D)^2 numbers in memory.

    Returns:
        (min(N - 1, D),) float64, 0 or more: the eigenvalues of the covariance (divided by N - 1), which sum to the
        total variance. Empty for fewer than 2 codes.

    Raises:
        ValueError: if the codes are not (N, D) or not finite.

    Example:
        >>> pca_spectrum(torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]))
        tensor([4., 0.], dtype=torch.float64)
    """
    centred = _centred(codes)
    samples, dimensions = centred.shape
    if samples < 2:
        return centred.new_zeros(0)
    products = centred @ centred.T if samples < dimensions else centred.T @ centred
    values = torch.linalg.eigvalsh(products).flip(0).clamp(min=0) / (samples - 1)
    return values[: min(samples - 1, dimensions)]


def principal_coordinates(codes: Tensor, components: int = 2) -> Tensor:
    """Place the codes on their principal directions, for a picture.

    Args:
        codes: (N, D), finite.
        components: n, 1 or more.

    Returns:
        (N, n) float32 scores, those of most variance first; the largest of each column in size is positive, so that
        signs do not depend on the machine. Columns beyond the codes' rank are 0.

    Raises:
        ValueError: if the codes are not (N, D) or not finite.

    Example:
        >>> principal_coordinates(torch.tensor([[0.0, 1.0], [2.0, 1.0], [7.0, 1.0]]), 1)
        tensor([[-3.],
                [-1.],
                [ 4.]])
    """
    centred = _centred(codes)
    samples, dimensions = centred.shape
    if samples < dimensions:
        values, vectors = torch.linalg.eigh(centred @ centred.T)
        scores = vectors * values.clamp(min=0).sqrt()
    else:
        scores = centred @ torch.linalg.eigh(centred.T @ centred).eigenvectors
    scores = scores.flip(1)[:, :components]
    scores = torch.nn.functional.pad(scores, (0, components - scores.shape[1]))
    if samples:
        scores = scores * scores.gather(0, scores.abs().argmax(0, keepdim=True)).sign()
    return scores.float()


def participation_ratio(codes: Tensor) -> Tensor:
    """Effective number of dimensions, (tr S)^2 / tr S^2: 1 = a line, D = alike in all; neither direction is better.

    Both traces are unbiased for the population that the codes are drawn from (Himeno and Yamada 2014, Estimations for
    some functions of covariance matrix in high dimension under non-normality), where the ratio of the sample's own
    never exceeds N - 1. Their ratio is nearly unbiased.

    Args:
        codes: (N, D), finite; min(N, D)^2 numbers in memory.

    Returns:
        Scalar float32; NaN for fewer than 4 codes, for equal codes, or where too few codes let tr S^2 come out at 0.

    Raises:
        ValueError: if the codes are not (N, D) or not finite.

    Example:
        >>> line = torch.arange(6.0)[:, None] * torch.tensor([1.0, 2.0])
        >>> round(participation_ratio(line).item(), 4)
        1.0
    """
    square_of_trace, trace_of_square = trace_estimates(codes)
    return torch.where(trace_of_square > 0, square_of_trace / trace_of_square, torch.nan).float()


def trace_estimates(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Unbiased estimates of (tr S)^2 and tr S^2 for the population's covariance S.

    Args:
        codes: (N, D), finite.

    Returns:
        Two scalars float64; NaN for fewer than 4 codes.

    Raises:
        ValueError: if the codes are not (N, D) or not finite.
    """
    centred = _centred(codes)
    n, dimensions = centred.shape
    if n < 4:
        nothing = centred.new_full((), torch.nan)
        return nothing, nothing
    lengths = centred.square().sum(1)
    products = centred @ centred.T if n < dimensions else centred.T @ centred
    trace, square = lengths.sum() / (n - 1), products.square().sum() / (n - 1) ** 2
    fourth = lengths.square().sum() / (n - 1)
    factor = (n - 1) / (n * (n - 2) * (n - 3))
    trace_of_square = factor * ((n - 1) * (n - 2) * square + trace.square() - n * fourth)
    square_of_trace = factor * (2 * square + (n * n - 3 * n + 1) * trace.square() - n * fourth)
    return square_of_trace, trace_of_square


def _centred(codes: Tensor) -> Tensor:
    if codes.ndim != 2:
        raise ValueError(f"codes must be (samples, dimensions); got shape {tuple(codes.shape)}")
    check_finite(codes)
    codes = codes.detach().double()
    return codes - codes.mean(0) if len(codes) else codes

"""Everything that codes tell without a map, in one call: their dimension, their classes, and how alike depths are."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from measures.codes_classes import knn_accuracy, nearest_class_mean
from measures.codes_dimension import intrinsic_dimension
from measures.codes_sample import SampledCodes
from measures.codes_similarity import class_rdm, linear_cka, rsa
from measures.codes_spectrum import participation_ratio, pca_spectrum
from measures.rates import wilson_interval
from measures.structure import Estimate

COMPONENTS = 10  # of the spectrum


def code_structure(sample: SampledCodes, num_classes: int, *, train: SampledCodes | None = None) -> dict[str, Estimate]:
    """Measure the codes of one depth.

    Args:
        sample: n codes, finite.
        num_classes: C.
        train: codes of another split, finite, for what is read off them.

    Returns:
        By name (docs/measures.md defines each):

        - ``sampled_codes``, n; ``participation_ratio``; ``intrinsic_dimension`` with its interval;
        - ``pca_share_1`` to ``pca_share_10``, the share of the variance on each of the first directions, NaN beyond the
            codes' rank and where all codes are equal;
        - with ``train``: ``nearest_class_mean`` and ``knn_accuracy`` with Wilson's intervals, and
            ``sampled_train_codes``.

    Raises:
        ValueError: if a code is not finite, or a label is outside [0, C).

    Example:
        >>> codes = torch.rand(60, 5, generator=torch.Generator().manual_seed(0))
        >>> sample = SampledCodes(torch.arange(60), torch.arange(60) % 2, codes)
        >>> found = code_structure(sample, num_classes=2)
        >>> 4 < found["participation_ratio"].value < 6
        True
    """
    found = {
        "sampled_codes": Estimate(float(len(sample.codes))),
        "participation_ratio": Estimate(float(participation_ratio(sample.codes))),
    }
    dimension = intrinsic_dimension(sample.codes)
    found["intrinsic_dimension"] = Estimate(dimension.value, dimension.low, dimension.high)
    variances = pca_spectrum(sample.codes)
    shares = torch.full((COMPONENTS,), torch.nan, dtype=torch.float64)
    if variances.sum() > 0:
        shares[: len(variances)] = (variances / variances.sum())[:COMPONENTS].cpu()
    found |= {f"pca_share_{number}": Estimate(float(share)) for number, share in enumerate(shares, start=1)}
    if train is not None:
        splits = (train.codes, train.label, sample.codes, sample.label, num_classes)
        found["nearest_class_mean"] = _rate(nearest_class_mean(*splits), len(sample.codes))
        found["knn_accuracy"] = _rate(knn_accuracy(*splits), len(sample.codes))
        found["sampled_train_codes"] = Estimate(float(len(train.codes)))
    return found


def code_similarity(samples: Mapping[str, SampledCodes], num_classes: int) -> dict[str, dict[str, float]]:
    """Compare the codes of the same images at different depths, or of different networks, each with each.

    Args:
        samples: by depth, codes of the same images in the same order, finite.
        num_classes: C.

    Returns:
        ``cka_<depth>`` and ``rsa_<depth>``, {other depth: value}: linear CKA of the codes, and the rank correlation of
        the distances between class means. 1 of a depth with itself; NaN where undefined.

    Raises:
        ValueError: if a code is not finite, or a label is outside [0, C).

    Example:
        >>> ids, codes = torch.arange(5), torch.tensor([[0.0, 1.0], [2.0, 0.0], [5.0, 3.0], [1.0, 1.0], [4.0, 0.0]])
        >>> samples = {"CL1": SampledCodes(ids, ids, codes), "CL2": SampledCodes(ids, ids, 3 * codes)}
        >>> round(code_similarity(samples, num_classes=5)["cka_CL1"]["CL2"], 4)
        1.0
    """
    matrices = {depth: class_rdm(sample.codes, sample.label, num_classes) for depth, sample in samples.items()}
    found: dict[str, dict[str, float]] = {f"{name}_{depth}": {} for name in ("cka", "rsa") for depth in samples}
    depths = list(samples)
    for number, one in enumerate(depths):
        for other in depths[number:]:
            cka = float(linear_cka(samples[one].codes, samples[other].codes))
            correlation = float(rsa(matrices[one], matrices[other]))
            found[f"cka_{one}"][other] = found[f"cka_{other}"][one] = cka
            found[f"rsa_{one}"][other] = found[f"rsa_{other}"][one] = correlation
    return found


def _rate(share: Tensor, trials: int) -> Estimate:
    value = float(share)
    return Estimate(value) if math.isnan(value) else Estimate(value, *wilson_interval(round(value * trials), trials))

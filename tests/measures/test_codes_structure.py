import math

import pytest
import torch

from measures import (
    SampledCodes,
    class_rdm,
    code_similarity,
    code_structure,
    intrinsic_dimension,
    knn_accuracy,
    linear_cka,
    nearest_class_mean,
    participation_ratio,
    rsa,
    wilson_interval,
)


def sample(count, dimensions, seed=0, classes=3):
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % classes
    codes = torch.randn(count, dimensions, generator=generator) + 2 * label[:, None]
    return SampledCodes(torch.arange(count), label, codes)


def test_values_are_those_of_each_measure():
    test, train = sample(40, 6), sample(50, 6, seed=1)
    found = code_structure(test, 3, train=train)
    splits = (train.codes, train.label, test.codes, test.label, 3)
    dimension = intrinsic_dimension(test.codes)
    expected = {
        "sampled_codes": 40,
        "sampled_train_codes": 50,
        "participation_ratio": participation_ratio(test.codes),
        "intrinsic_dimension": dimension.value,
        "nearest_class_mean": nearest_class_mean(*splits),
        "knn_accuracy": knn_accuracy(*splits),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(float(value)), name
    assert (found["intrinsic_dimension"].low, found["intrinsic_dimension"].high) == (dimension.low, dimension.high)
    right = round(found["knn_accuracy"].value * 40)
    assert (found["knn_accuracy"].low, found["knn_accuracy"].high) == wilson_interval(right, 40)
    variance = torch.linalg.eigvalsh(torch.cov(test.codes.double().T)).flip(0)
    shares = [found[f"pca_share_{number}"].value for number in range(1, 11)]
    assert shares[:6] == pytest.approx((variance / variance.sum()).tolist())
    assert all(map(math.isnan, shares[6:])), "beyond the codes' rank"
    assert not {"knn_accuracy", "nearest_class_mean"} & code_structure(test, 3).keys()


def test_similarity_of_each_with_each():
    samples = {"a": sample(30, 4), "b": sample(30, 7, seed=1), "c": sample(30, 2, seed=2)}
    found = code_similarity(samples, 3)
    assert found.keys() == {f"{name}_{depth}" for name in ("cka", "rsa") for depth in samples}
    for one, ours in samples.items():
        for other, theirs in samples.items():
            cka = linear_cka(ours.codes, theirs.codes).item()
            assert found[f"cka_{one}"][other] == pytest.approx(cka, rel=1e-5)
            matrices = [class_rdm(each.codes, each.label, 3) for each in (ours, theirs)]
            assert found[f"rsa_{one}"][other] == pytest.approx(rsa(*matrices).item(), nan_ok=True)
        assert found[f"cka_{one}"][one] == pytest.approx(1)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_codes_give_numbers_or_nan(count):
    few = sample(count, 5)
    found = code_structure(few, 3, train=few)
    assert found["sampled_codes"].value == count
    assert math.isnan(found["participation_ratio"].value)
    assert math.isnan(found["pca_share_1"].value) == (count < 2)
    assert all(map(math.isnan, code_similarity({"a": few}, 3)["cka_a"].values()))


def test_equal_codes_have_no_spectrum():
    equal = sample(9, 5)._replace(codes=torch.ones(9, 5))
    assert math.isnan(code_structure(equal, 3)["pca_share_1"].value)


def test_a_code_that_is_not_finite_is_refused():
    poisoned = sample(9, 5)
    poisoned.codes[4, 1] = math.nan
    with pytest.raises(ValueError, match="row 4 holds NaN"):
        code_structure(poisoned, 3)
    with pytest.raises(ValueError, match="row 4 holds NaN"):
        code_similarity({"a": poisoned}, 3)

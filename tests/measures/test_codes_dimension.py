import math

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from measures import intrinsic_dimension
from measures.codes_dimension import nearest_two


def uniform(samples, dimensions, seed=0):
    return torch.rand(samples, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("values", [1, 500, 2**22])
def test_neighbours_are_scikit_learns(values, monkeypatch):
    monkeypatch.setattr("measures.codes_dimension.VALUES", values)
    codes = uniform(60, 4) + 100
    distances, _ = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(codes.numpy()).kneighbors(codes.numpy())
    nearest, second = nearest_two(codes)
    assert nearest.tolist() == pytest.approx(distances[:, 1].tolist(), rel=1e-6)
    assert second.tolist() == pytest.approx(distances[:, 2].tolist(), rel=1e-6)


def test_neighbours_are_exact_far_from_the_origin_and_in_many_dimensions():
    codes = torch.cat((uniform(40, 300) + 1e4, uniform(40, 300)[:9] + 1e4))  # 9 of them twice
    far = (codes[:, None] - codes).square().sum(2).sqrt().fill_diagonal_(math.inf).sort(1).values
    nearest, second = nearest_two(codes)
    torch.testing.assert_close(nearest, far[:, 0], rtol=1e-9, atol=0)
    torch.testing.assert_close(second, far[:, 1], rtol=1e-9, atol=0)
    assert int((nearest == 0).sum()) == 18


def test_the_likelihood_of_censored_ratios():
    codes = uniform(100, 3)
    nearest, second = nearest_two(codes)
    logs = sorted((second / nearest).log().tolist())
    total = sum(logs[:90]) + 10 * logs[89]
    assert intrinsic_dimension(codes).value == pytest.approx(89 / total)
    assert intrinsic_dimension(codes, discard=0).value == pytest.approx(99 / sum(logs))


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_finds_the_dimension_whatever_the_space(dimension):
    flat = torch.randn(1500, dimension, generator=torch.Generator().manual_seed(0)).double()
    axes = torch.randn(30, dimension, generator=torch.Generator().manual_seed(1)).double()
    turned = flat @ torch.linalg.qr(axes).Q.T + 7
    found = intrinsic_dimension(turned)
    assert found.value == pytest.approx(dimension, rel=0.12)
    assert found.low < found.value < found.high
    curved = torch.cat((flat, flat.sin(), flat.cos()), 1)
    assert intrinsic_dimension(curved).value == pytest.approx(dimension, rel=0.12)


def test_intervals_nearly_cover():
    found = [intrinsic_dimension(uniform(400, 2, seed)) for seed in range(100)]
    assert 80 <= sum(each.low < 2 < each.high for each in found)
    assert sum(each.value for each in found) / 100 == pytest.approx(2, rel=0.04)


def test_bad_input():
    codes = uniform(50, 2)
    doubled = torch.cat((codes, codes[:10], codes[:10]))
    assert math.isfinite(intrinsic_dimension(doubled).value)
    for degenerate in (codes[:0], codes[:1], codes[:2], codes[:1].expand(50, 2)):
        assert math.isnan(intrinsic_dimension(degenerate).value)
        assert math.isnan(intrinsic_dimension(degenerate).low)
    assert math.isnan(intrinsic_dimension(torch.tensor([[0.0], [1.0]]).repeat(4, 1)).value)
    codes[7, 1] = math.inf
    with pytest.raises(ValueError, match="row 7 holds NaN or infinity"):
        intrinsic_dimension(codes)
    with pytest.raises(ValueError, match="discard must be from 0 to below 1; got discard=1"):
        intrinsic_dimension(codes, discard=1)
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
        intrinsic_dimension(codes, confidence=95)
    with pytest.raises(ValueError, match=r"got shape \(2,\)"):
        intrinsic_dimension(codes[0])

import math

import pytest
import torch
from scipy.spatial.distance import pdist

from measures import (
    CodeVariance,
    ExplainedVariance,
    RelativeQuantisationError,
    explained_variance,
    median_pairwise_distance,
    relative_energy,
    relative_quantisation_error,
)
from som import SelfOrganizingMap


def normal(*shape, seed=0, offset=0.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3 + offset


def distances(codes, prototypes):
    return torch.cdist(codes.double(), prototypes.double()).amin(1)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_match_two_passes_over_the_codes(offset):
    codes = normal(50, 7, offset=offset)
    distance = distances(codes, codes[:4])
    total = (codes.double() - codes.double().mean(0)).square().sum()
    expected = 1 - (distance.square().sum() / total).item()
    assert explained_variance(distance, codes).item() == pytest.approx(expected, rel=1e-5)
    root_mean_square = (pdist(codes.double().numpy()) ** 2).mean() ** 0.5
    expected = distance.mean().item() / root_mean_square
    assert relative_quantisation_error(distance, codes).item() == pytest.approx(expected, rel=1e-5)


def test_metrics_accumulate_and_know_their_direction():
    codes = normal(50, 7)
    near, far = distances(codes, codes[:20]), distances(codes, codes[:2])
    for kind, function, better in (
        (ExplainedVariance, explained_variance, True),
        (RelativeQuantisationError, relative_quantisation_error, False),
    ):
        found = []
        for distance in (near, far):
            metric = kind(7)
            metric.update(distance[:13], codes[:13])
            metric.update(distance[13:], codes[13:])
            found.append(metric.compute().item())
            assert found[-1] == pytest.approx(function(distance, codes).item())
        assert (found[0] > found[1]) is better
        assert metric.higher_is_better is better
    variance = CodeVariance(7)
    variance.update(near, codes)
    assert variance.compute().item() == pytest.approx(codes.var(0, correction=0).sum().item())


def test_scale_and_dimension_of_the_codes_do_not_matter():
    codes = normal(50, 7)
    distance = distances(codes, codes[:4])
    wide = torch.cat((codes, codes), 1) * 100
    for function in (explained_variance, relative_quantisation_error):
        found = function(distances(wide, wide[:4]), wide).item()
        assert found == pytest.approx(function(distance, codes).item(), rel=1e-5)


def test_reference_values():
    codes = normal(5000, 4)
    mean = distances(codes, codes.mean(0, keepdim=True))
    assert explained_variance(mean, codes).item() == pytest.approx(0, abs=1e-6)
    assert explained_variance(mean * 0, codes) == 1
    assert 0.6 < relative_quantisation_error(mean, codes) < 0.5**0.5
    assert median_pairwise_distance(codes[:300]).item() == pytest.approx(
        float(torch.tensor(pdist(codes[:300].numpy())).quantile(0.5)), rel=1e-5
    )
    sampled = [median_pairwise_distance(codes, 200, seed).item() for seed in range(3)]
    assert len(set(sampled)) == 3
    assert sampled == pytest.approx([sum(sampled) / 3] * 3, rel=0.1)
    assert median_pairwise_distance(codes, 200).item() == sampled[0]


def test_relative_energy_is_the_unexplained_share_in_the_limit_and_1_at_the_mean():
    codes = normal(60, 5)
    som = SelfOrganizingMap(3, 4, 5)
    som.initialise(codes[:12])
    variance = codes.var(0, correction=0).sum()
    energy, winners = som.energy(codes, sigma=0.05)
    unexplained = 1 - explained_variance(winners.distance, codes).item()
    assert relative_energy(energy.detach(), variance).item() == pytest.approx(unexplained, rel=1e-5)
    som.initialise(codes, codes.mean(0).expand(12, 5))
    for sigma in (0.5, 3.0):
        rows, cols = som.factors(sigma)
        energy, _ = som.energy(codes, sigma)
        found = relative_energy(energy.detach(), variance, mass=rows[0].sum() * cols[0].sum())
        assert found.item() == pytest.approx(1, rel=1e-5)
    curve = relative_energy(torch.tensor([6.0, 3.0]), 12.0)
    assert curve.tolist() == [1.0, 0.5]


def test_bad_input():
    codes = normal(6, 3)
    distance = torch.ones(6)
    for function in (explained_variance, relative_quantisation_error):
        assert math.isnan(function(distance[:0], codes[:0]))
        assert math.isnan(function(distance * 0, codes[:1].expand(6, 3) + 1e4))  # equal codes
        poisoned = codes.clone()
        poisoned[2, 1] = math.nan
        assert math.isnan(function(distance, poisoned))
    assert math.isnan(relative_quantisation_error(distance[:1], codes[:1]))
    assert math.isnan(median_pairwise_distance(codes[:1]))
    with pytest.raises(ValueError, match="row 2 holds NaN"):
        median_pairwise_distance(poisoned)
    with pytest.raises(ValueError, match=r"distances \(B,\) and codes \(B, 3\) must pair up"):
        ExplainedVariance(3).update(distance, codes[:5])
    with pytest.raises(ValueError, match="dimensions=0"):
        ExplainedVariance(0)

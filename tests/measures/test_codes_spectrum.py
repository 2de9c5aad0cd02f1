import itertools
import math

import pytest
import torch
from sklearn.decomposition import PCA

from measures import participation_ratio, pca_spectrum, principal_coordinates
from measures.codes_spectrum import trace_estimates


def normal(*shape, seed=0, offset=0.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + offset


@pytest.mark.parametrize("shape", [(40, 5), (8, 30), (6, 6)])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_spectrum_and_coordinates_are_scikit_learns(shape, offset):
    codes = normal(*shape, offset=offset) * torch.linspace(1, 3, shape[1])
    kept = min(shape[0] - 1, shape[1])
    pca = PCA(svd_solver="full").fit(codes.double().numpy())
    found = pca_spectrum(codes)
    assert found.shape == (kept,)
    torch.testing.assert_close(found, torch.tensor(pca.explained_variance_[:kept]))
    scores = torch.tensor(pca.transform(codes.double().numpy())[:, :3]).float()
    ours = principal_coordinates(codes, 3)
    torch.testing.assert_close(ours.abs(), scores.abs(), atol=1e-4, rtol=1e-4)
    assert (ours.gather(0, ours.abs().argmax(0, keepdim=True)) > 0).all()


def test_traces_are_means_over_quadruples():
    # For independent a, b, c, d: E ((a - b).(c - d))^2 = 4 tr S^2 and E |a - b|^2 |c - d|^2 = 4 (tr S)^2.
    codes = normal(7, 3).double() + 2
    squares, traces = [], []
    for a, b, c, d in itertools.permutations(codes, 4):
        squares.append(((a - b) @ (c - d)) ** 2 / 4)
        traces.append((a - b).square().sum() * (c - d).square().sum() / 4)
    square_of_trace, trace_of_square = trace_estimates(codes)
    assert trace_of_square.item() == pytest.approx(float(sum(squares) / len(squares)))
    assert square_of_trace.item() == pytest.approx(float(sum(traces) / len(traces)))
    wide = torch.cat((codes, torch.zeros(7, 20)), 1)  # the Gram matrix instead of the covariance
    torch.testing.assert_close(torch.stack(trace_estimates(wide)), torch.stack((square_of_trace, trace_of_square)))


def test_participation_ratio_does_not_depend_on_the_number_of_codes():
    for samples in (25, 400):
        found = [participation_ratio(normal(samples, 60, seed=seed)).item() for seed in range(30)]
        assert sum(found) / 30 == pytest.approx(60, rel=0.12)
    few = pca_spectrum(normal(25, 60))
    assert few.sum() ** 2 / few.square().sum() < 24  # what the sample's own ratio reads


def test_participation_ratio_of_known_spectra():
    scales = torch.tensor([3.0, 1.0, 1.0, 0.1])
    variances = scales.double().square()
    expected = (variances.sum() ** 2 / variances.square().sum()).item()
    assert participation_ratio(normal(20000, 4) * scales + 50).item() == pytest.approx(expected, rel=0.03)
    assert participation_ratio(normal(50, 1) * torch.ones(1, 8)).item() == pytest.approx(1, rel=1e-5)


def test_bad_input():
    codes = normal(6, 3)
    assert math.isnan(participation_ratio(codes[:3]))
    assert math.isnan(participation_ratio(codes[:1].expand(6, 3)))
    assert pca_spectrum(codes[:1]).shape == (0,)
    assert pca_spectrum(codes[:0]).shape == (0,)
    assert pca_spectrum(codes[:1].expand(6, 3)).tolist() == [0, 0, 0]
    assert principal_coordinates(codes[:0]).shape == (0, 2)
    assert principal_coordinates(codes[:1], 4).tolist() == [[0, 0, 0, 0]]
    codes[4, 0] = math.nan
    for function in (participation_ratio, pca_spectrum, principal_coordinates):
        with pytest.raises(ValueError, match="row 4 holds NaN"):
            function(codes)
    with pytest.raises(ValueError, match=r"codes must be \(samples, dimensions\); got shape \(3,\)"):
        pca_spectrum(codes[0])

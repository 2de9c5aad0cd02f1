import itertools
import math

import pytest
import torch
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from measures import class_means, class_rdm, linear_cka, rsa


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hsic_by_quadruples(x, y):
    """The U-statistic of Gretton et al.: over ordered quadruples, K_ij (L_ij + L_kl - 2 L_ik)."""
    k, l = x @ x.T, y @ y.T  # noqa: E741
    terms = [k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]) for i, j, q, r in itertools.permutations(range(len(x)), 4)]
    return sum(terms) / len(terms)


def test_cka_is_that_of_a_loop_over_quadruples():
    x, y = normal(7, 3) + 5, normal(7, 4, seed=1)
    y[:, :2] += x[:, :2]
    cross, *own = (hsic_by_quadruples(a, b) for a, b in ((x, y), (x, x), (y, y)))
    assert linear_cka(x, y).item() == pytest.approx(float(cross / (own[0] * own[1]) ** 0.5), rel=1e-6)


def test_cka_ignores_what_it_should():
    x, y = normal(30, 5), normal(30, 8, seed=1)
    y[:, 0] += 2 * x[:, 0]
    rotation = torch.linalg.qr(normal(5, 5, seed=2)).Q
    expected = linear_cka(x, y).item()
    assert linear_cka(3 * x @ rotation + 100, y - 7).item() == pytest.approx(expected, rel=1e-5)
    assert linear_cka(y, x).item() == pytest.approx(expected, rel=1e-6)
    assert linear_cka(x, x).item() == pytest.approx(1)
    assert linear_cka(x * torch.tensor([9.0, 1, 1, 1, 1]), y).item() != pytest.approx(expected, rel=0.05)


def test_unrelated_codes_read_0_where_plain_cka_reads_near_1():
    found, plain = [], []
    for seed in range(20):
        x, y = normal(20, 400, seed=2 * seed), normal(20, 400, seed=2 * seed + 1)
        found.append(linear_cka(x, y).item())
        x, y = x - x.mean(0), y - y.mean(0)
        plain.append(float((x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())))
    assert abs(sum(found) / 20) < 0.05
    assert sum(plain) / 20 > 0.8


def test_rdm_is_scipys():
    codes, label = normal(30, 4).float(), torch.arange(30) % 3
    label[label == 2] = 3  # class 2 has no samples
    means = torch.stack([codes[label == c].double().mean(0) for c in (0, 1, 3)])
    found = class_rdm(codes, label, 4)
    known = [0, 1, 3]
    torch.testing.assert_close(found[known][:, known], torch.tensor(squareform(pdist(means.numpy()))))
    assert found[2].isnan().all()
    assert found[:, 2].isnan().all()
    assert class_means(codes, label, 4)[2].isnan().all()


def test_rsa_is_scipys_and_leaves_unknown_pairs_out():
    first, second = (torch.tensor(squareform(pdist(normal(6, 3, seed=seed).numpy()))) for seed in (0, 1))
    second = second + first
    upper = torch.triu_indices(6, 6, 1)
    expected = stats.spearmanr(first[*upper], second[*upper]).statistic
    assert rsa(first, second).item() == pytest.approx(expected)
    wider = [torch.nn.functional.pad(matrix, (0, 1, 0, 1), value=math.nan) for matrix in (first, second)]
    assert rsa(*wider).item() == pytest.approx(expected)
    assert rsa(first, first.square()) == 1
    assert rsa(first, -first) == -1


def test_bad_input():
    codes = normal(8, 3)
    assert math.isnan(linear_cka(codes[:3], codes[:3]))
    assert math.isnan(linear_cka(codes[:1].expand(8, 3), codes))
    assert math.isnan(rsa(torch.zeros(2, 2), torch.zeros(2, 2)))  # one pair
    assert math.isnan(rsa(torch.ones(5, 5), class_rdm(codes, torch.arange(8) % 5, 5)))  # no order
    with pytest.raises(ValueError, match=r"codes of the same images must be .* got shapes \(8, 3\) and \(7, 3\)"):
        linear_cka(codes, codes[:7])
    with pytest.raises(ValueError, match="matrices must be"):
        rsa(torch.zeros(3, 3), torch.zeros(4, 4))
    with pytest.raises(ValueError, match=r"label -1 is outside \[0, 5\): leave samples without a label out"):
        class_rdm(codes, torch.arange(8) % 5 - 1, 5)
    with pytest.raises(ValueError, match=r"codes \(N, D\) and label \(N,\) must pair up"):
        class_rdm(codes, torch.arange(5), 5)
    codes[3, 0] = math.nan
    with pytest.raises(ValueError, match="row 3 holds NaN"):
        linear_cka(torch.zeros(8, 2), codes)
    with pytest.raises(ValueError, match="row 3 holds NaN"):
        class_rdm(codes, torch.arange(8), 8)

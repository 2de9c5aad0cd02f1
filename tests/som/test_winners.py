import pytest
import torch

from som import Lattice, neighbourhood_factors
from som.energy import energy
from som.winners import TILE, check_winner, heskes_bmus, soft_energy
from tests.som import reference

ROWS, COLS = 3, 5


def case(topology="torus", kind="gaussian", sigma=1.1, batch=9, offset=0.0):
    codes = reference.draw(batch, 4, offset=offset)
    prototypes = reference.draw(ROWS * COLS, 4, seed=1, offset=offset)
    factors = neighbourhood_factors(kind, Lattice(ROWS, COLS, topology), sigma)
    return codes, prototypes, factors, reference.table(ROWS, COLS, topology, sigma, kind)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("kind", ["gaussian", "wrapped_gaussian", "bubble"])
def test_heskes_matches_loops(topology, kind, offset):
    codes, prototypes, factors, full = case(topology, kind, offset=offset)
    expected = reference.unit_energies(codes, prototypes, full).argmin(1)
    assert torch.equal(heskes_bmus(codes, prototypes, factors), expected)


def test_heskes_with_a_tiny_neighbourhood_is_the_bmu():
    codes, prototypes, factors, _ = case(sigma=1e-2)
    assert torch.equal(heskes_bmus(codes, prototypes, factors), reference.winners(codes, prototypes)[0])


def test_heskes_in_parts_and_ties(monkeypatch):
    codes, prototypes, factors, _ = case()
    whole = heskes_bmus(codes, prototypes, factors)
    assert TILE >= 15
    monkeypatch.setattr("som.winners.TILE", 31)
    assert torch.equal(heskes_bmus(codes, prototypes, factors), whole)
    assert heskes_bmus(codes * 0, prototypes * 0, factors).tolist() == [0] * 9


def naive_soft(codes, prototypes, full, beta):
    squared = (codes[:, None] - prototypes).square().sum(2)
    return -torch.logsumexp(-beta / 2 * squared @ full.T, dim=1).mean() / beta


@pytest.mark.parametrize("beta", [0.3, 1.0, 7.0])
@pytest.mark.parametrize("topology", ["torus", "plane"])
def test_soft_energy_and_its_gradients_match_the_formula(topology, beta):
    codes, prototypes, factors, full = case(topology)
    energies = reference.unit_energies(codes, prototypes, full)
    value = -(torch.exp(-beta / 2 * energies).sum(1).log() / beta).mean()
    assert soft_energy(codes, prototypes, factors, beta).item() == pytest.approx(value.item(), rel=1e-4)
    codes, prototypes = codes.double().requires_grad_(), prototypes.double().requires_grad_()
    factors = tuple(factor.double() for factor in factors)
    full = torch.kron(*factors)
    losses = soft_energy(codes, prototypes, factors, beta), naive_soft(codes, prototypes, full, beta)
    for one, other in zip(*(torch.autograd.grad(loss, (codes, prototypes)) for loss in losses), strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(lambda x, w: soft_energy(x, w, factors, beta), (codes, prototypes))


def test_soft_becomes_heskes_for_large_beta():
    codes, prototypes, factors, _ = case()
    hard = energy(codes, prototypes, heskes_bmus(codes, prototypes, factors), factors).item()
    far, near = (abs(soft_energy(codes, prototypes, factors, beta).item() - hard) for beta in (1.0, 100.0))
    assert near < 0.01 * hard
    assert near < far


def test_heskes_energy_is_the_least_of_all_winners():
    codes, prototypes, factors, _ = case()
    bmu = torch.stack([heskes_bmus(codes, prototypes, factors), reference.winners(codes, prototypes)[0]])
    heskes, kohonen = (energy(codes, prototypes, row, factors) for row in bmu)
    assert heskes <= kohonen
    assert not torch.equal(*bmu)  # or the case would show nothing


def test_an_unknown_winner_is_refused():
    with pytest.raises(ValueError, match=r"'loser' is unknown; choose one of 'kohonen', 'heskes', 'soft'"):
        check_winner("loser")

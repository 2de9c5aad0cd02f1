import pytest
import torch

from som import Lattice, find_bmus, gaussian, neighbourhood_weights, stability
from som.energy import energy
from tests.som import reference


def case(batch=7, rows=3, cols=4, dimensions=5, offset=0.0):
    generator = torch.Generator().manual_seed(0)
    codes = (torch.randn(batch, dimensions, generator=generator) * 64).round() / 64 + offset
    prototypes = (torch.randn(rows * cols, dimensions, generator=generator) * 64).round() / 64 + offset
    factors = gaussian(Lattice(rows, cols), 1.2)
    return codes, prototypes, neighbourhood_weights(factors, find_bmus(codes, prototypes).bmu)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("shape", [{}, {"batch": 1}, {"dimensions": 1}, {"rows": 1, "cols": 1}])
def test_value_and_gradients_match_loops(shape, offset):
    codes, prototypes, weights = case(**shape, offset=offset)
    codes.requires_grad_()
    prototypes.requires_grad_()
    loss = energy(codes, prototypes, weights)
    loss.backward()
    for_codes, for_prototypes = reference.energy_gradients(codes.detach(), prototypes.detach(), weights)
    assert loss.item() == pytest.approx(reference.energy(codes.detach(), prototypes.detach(), weights), rel=1e-5)
    torch.testing.assert_close(codes.grad.double(), for_codes, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(prototypes.grad.double(), for_prototypes, rtol=1e-5, atol=1e-5)


def test_gradcheck():
    codes, prototypes, weights = (part.double() for part in case())
    assert torch.autograd.gradcheck(
        lambda x, w: energy(x, w, weights), (codes.requires_grad_(), prototypes.requires_grad_())
    )


def test_an_sgd_step_is_the_kohonen_step():
    codes, prototypes, weights = case()
    expected = prototypes.clone()
    for k in range(len(prototypes)):
        expected[k] += 0.3 / len(codes) * sum(weights[b, k] * (codes[b] - prototypes[k]) for b in range(len(codes)))
    parameter = torch.nn.Parameter(prototypes.clone())
    energy(codes, parameter, weights).backward()
    torch.optim.SGD([parameter], lr=0.3).step()
    torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-6)


def test_float32_whatever_autocast_says():
    codes, prototypes, weights = case()
    plain = energy(codes, prototypes, weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = energy(codes, prototypes, weights)
    assert torch.equal(plain, cast)
    assert energy(codes.bfloat16(), prototypes, weights).dtype == torch.float32


def test_stability_is_the_number_that_decides_convergence():
    codes, prototypes, weights = case()
    alpha = 1 / weights.mean(0).max().item()
    assert stability(weights, alpha).item() == pytest.approx(1.0)
    for factor, converges in ((1.9, True), (2.1, False)):
        parameter = torch.nn.Parameter(prototypes.clone())
        optimiser = torch.optim.SGD([parameter], lr=factor * alpha)
        for _ in range(200):
            optimiser.zero_grad()
            loss = energy(codes, parameter, weights)
            loss.backward()
            optimiser.step()
        assert (loss < energy(codes, prototypes, weights)).item() is converges

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from som import Lattice, find_bmus, neighbourhood_factors, neighbourhood_weights, stability
from som.energy import energy
from tests.som import reference


def case(batch=5, rows=3, cols=5, dimensions=4, offset=0.0, kind="gaussian", topology="torus"):
    codes = reference.draw(batch, dimensions, offset=offset)
    prototypes = reference.draw(rows * cols, dimensions, seed=1, offset=offset)
    factors = neighbourhood_factors(kind, Lattice(rows, cols, topology), 1.2)
    bmu = find_bmus(codes, prototypes).bmu
    return codes, prototypes, bmu, factors, reference.weights(bmu, rows, cols, topology, 1.2, kind)


class LargestTensor(TorchDispatchMode):
    """Notes the number of entries of the largest tensor that an operation made."""

    entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, torch.Tensor):
                self.entries = max(self.entries, part.numel())
        return result


# 5 codes are fewer than rows + cols, 23 are more: the two take different ways.
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("kind", ["gaussian", "wrapped_gaussian", "bubble"])
@pytest.mark.parametrize(
    "shape", [{}, {"batch": 23}, {"batch": 1}, {"dimensions": 1}, {"rows": 1, "cols": 1}, {"topology": "plane"}]
)
def test_value_and_gradients_match_loops(shape, offset, kind):
    codes, prototypes, bmu, factors, weights = case(**shape, offset=offset, kind=kind)
    codes.requires_grad_()
    prototypes.requires_grad_()
    loss = energy(codes, prototypes, bmu, factors)
    loss.backward()
    for_codes, for_prototypes = reference.energy_gradients(codes.detach(), prototypes.detach(), weights)
    assert loss.item() == pytest.approx(reference.energy(codes.detach(), prototypes.detach(), weights), rel=1e-5)
    torch.testing.assert_close(codes.grad.double(), for_codes, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(prototypes.grad.double(), for_prototypes, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [5, 23])
def test_gradcheck_and_autograd_of_the_formula(batch):
    codes, prototypes, bmu, factors, weights = case(batch)
    codes, prototypes = codes.double().requires_grad_(), prototypes.double().requires_grad_()
    factors = tuple(factor.double() for factor in factors)
    assert torch.autograd.gradcheck(lambda x, w: energy(x, w, bmu, factors), (codes, prototypes))
    weights = neighbourhood_weights(factors, bmu)
    naive = (weights * (codes[:, None] - prototypes).square().sum(2)).sum() / (2 * batch)
    found, expected = energy(codes, prototypes, bmu, factors), naive
    torch.testing.assert_close(found, expected)
    both = (torch.autograd.grad(3 * loss, (codes, prototypes)) for loss in (found, expected))
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("batch", [5, 23])
def test_an_sgd_step_is_the_kohonen_step(batch):
    codes, prototypes, bmu, factors, weights = case(batch)
    parameter = torch.nn.Parameter(prototypes.clone())
    energy(codes, parameter, bmu, factors).backward()
    torch.optim.SGD([parameter], lr=0.3).step()
    expected = reference.gradient_step(prototypes, codes, weights, 0.3)
    torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [8, 90])
def test_no_tensor_has_units_times_units_or_codes_times_units_times_dimensions(batch):
    rows, cols, dimensions = 11, 13, 17
    codes, prototypes, bmu, factors, _ = case(batch, rows, cols, dimensions)
    codes.requires_grad_()
    prototypes.requires_grad_()
    with LargestTensor() as record:
        energy(codes, prototypes, bmu, factors).backward()
    assert record.entries <= rows * cols * dimensions < (rows * cols) ** 2
    assert record.entries >= math.prod(prototypes.shape)  # the record sees what is made


def test_float32_whatever_autocast_says():
    codes, prototypes, bmu, factors, _ = case()
    plain = energy(codes, prototypes, bmu, factors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = energy(codes, prototypes, bmu, factors)
    assert torch.equal(plain, cast)
    assert energy(codes.bfloat16(), prototypes, bmu, factors).dtype == torch.float32


def test_0_where_every_code_is_its_prototype_and_nobody_else_is_pulled():
    _, prototypes, *_ = case()
    factors = neighbourhood_factors("gaussian", Lattice(3, 5), 1e-3)
    assert energy(prototypes[:7], prototypes, torch.arange(7), factors).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("batch", [5, 23])
def test_stability_is_the_number_that_decides_convergence(batch):
    codes, prototypes, bmu, factors, weights = case(batch)
    alpha = 1 / weights.mean(0).max().item()
    assert stability(weights.sum(0), batch, alpha).item() == pytest.approx(1.0)
    for factor, converges in ((1.9, True), (2.1, False)):
        parameter = torch.nn.Parameter(prototypes.clone())
        optimiser = torch.optim.SGD([parameter], lr=factor * alpha)
        for _ in range(200):
            optimiser.zero_grad()
            loss = energy(codes, parameter, bmu, factors)
            loss.backward()
            optimiser.step()
        assert (loss < energy(codes, prototypes, bmu, factors)).item() is converges

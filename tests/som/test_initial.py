import math

import pytest
import torch

from som import Lattice
from som.initial import ENOUGH, initial_prototypes
from tests.som import reference

draw = reference.draw
METHODS = ["sample", "random", "normal", "pca"]


def seed(number=0):
    return torch.Generator().manual_seed(number)


def directions(codes, count=4):
    """Principal directions (count, D) as long as the deviations along them, by the SVD."""
    centred = codes.double() - codes.double().mean(0)
    _, values, vectors = torch.linalg.svd(centred, full_matrices=False)
    signs = vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    return (vectors * signs * values[:, None] / len(codes) ** 0.5)[:count]


def test_sample_takes_codes_without_replacement():
    codes = draw(16, 5)
    taken = (initial_prototypes(codes, Lattice(3, 5), "sample", seed())[:, None] == codes).all(2)
    assert taken.sum(1).tolist() == [1] * 15
    assert taken.sum(0).max() == 1


@pytest.mark.parametrize("count", [1, 5, 7])
def test_sample_takes_every_code_when_there_are_few(count):
    codes = draw(count, 5)
    used = (initial_prototypes(codes, Lattice(3, 5), "sample", seed())[:, None] == codes).all(2).sum(0)
    assert used.sum() == 15
    assert used.min() >= 1
    assert used.max() - used.min() <= 1


def test_random_and_normal_have_their_mean_and_deviation():
    codes = draw(500, 2) * torch.tensor([1.0, 9.0]) + torch.tensor([3.0, -40.0])
    found = initial_prototypes(codes, Lattice(40, 50), "random", seed())
    torch.testing.assert_close(found.mean(0), codes.mean(0), rtol=0.1, atol=0.1)
    torch.testing.assert_close(found.std(0), codes.std(0), rtol=0.1, atol=0.1)
    found = initial_prototypes(codes, Lattice(40, 50), "normal", seed())
    torch.testing.assert_close(found.mean(0), torch.zeros(2), rtol=0, atol=0.1)
    torch.testing.assert_close(found.std(0), torch.ones(2), rtol=0.1, atol=0)


def test_random_from_one_code_is_that_code():
    codes = draw(1, 5)
    torch.testing.assert_close(initial_prototypes(codes, Lattice(3, 4), "random"), codes.expand(12, 5))


# Fewer codes than dimensions, more, and so many dimensions that only some codes are taken.
@pytest.mark.parametrize("shape", [(9, 30), (80, 6), (ENOUGH, ENOUGH + 40)])
def test_pca_on_a_plane_is_a_sheet(shape):
    codes = draw(*shape) @ torch.diag(torch.linspace(3, 0.1, shape[1])) + 50
    first, second = directions(codes, 2)
    for rows, cols in ((3, 5), (5, 3)):
        down, right = (first, second) if rows > cols else (second, first)
        found = initial_prototypes(codes, Lattice(rows, cols, "plane"), "pca").double().view(rows, cols, -1)
        for row in range(rows):
            for col in range(cols):
                expected = codes.double().mean(0) + (2 * row / (rows - 1) - 1) * down
                expected = expected + (2 * col / (cols - 1) - 1) * right
                torch.testing.assert_close(found[row, col], expected, rtol=1e-4, atol=1e-3)


def test_pca_on_a_torus_closes():
    codes = draw(80, 6) @ torch.diag(torch.linspace(3, 0.5, 6)) + 50
    one, two, three, four = directions(codes)
    found = initial_prototypes(codes, Lattice(3, 7), "pca").double().view(3, 7, -1)
    for row in range(3):
        for col in range(7):
            a, b = 2 * math.pi * row / 3, 2 * math.pi * col / 7
            expected = codes.double().mean(0) + math.cos(a) * one + math.sin(a) * three
            expected = expected + math.cos(b) * two + math.sin(b) * four
            torch.testing.assert_close(found[row, col], expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("lattice", [(1, 1), (1, 4), (3, 5)])
@pytest.mark.parametrize("codes", [draw(1, 4), draw(2, 1), draw(9, 3) * 0 + 0.1, draw(3, 9), draw(2000, 600)[:, :520]])
def test_every_start_is_finite(method, topology, lattice, codes):
    found = initial_prototypes(codes, Lattice(*lattice, topology), method, seed())
    assert found.shape == (lattice[0] * lattice[1], codes.shape[1])
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_generator_decides_and_the_global_one_is_left_alone(method):
    state = torch.get_rng_state()
    one, two = (initial_prototypes(draw(20, 5), Lattice(3, 4), method, seed(3)) for _ in range(2))
    other = initial_prototypes(draw(20, 5), Lattice(3, 4), method, seed(4))
    assert torch.equal(one, two)
    assert torch.equal(one, other) == (method == "pca")
    assert torch.equal(torch.get_rng_state(), state)


def test_refusals():
    with pytest.raises(ValueError, match="'ica' is unknown; choose one of 'sample', 'random', 'normal', 'pca'"):
        initial_prototypes(draw(6, 5), Lattice(3, 4), "ica")
    with pytest.raises(ValueError, match="at least 1 code to start from; got 0"):
        initial_prototypes(draw(0, 5), Lattice(3, 4))

import pytest
import torch

from som.subspace import LOSS, principal_coordinates
from tests.som import reference

draw = reference.draw


def check(vectors, width):
    """Orthonormal directions, and the coordinates along them."""
    coordinates, directions = principal_coordinates(vectors, width)
    assert coordinates.shape == (len(vectors), len(directions))
    assert 1 <= len(directions) <= width
    torch.testing.assert_close(directions @ directions.T, torch.eye(len(directions)), rtol=0, atol=1e-5)
    scale = float(vectors.abs().max()) or 1.0
    torch.testing.assert_close(coordinates / scale, vectors @ directions.T / scale, rtol=0, atol=1e-4)
    return coordinates, directions


def loss(vectors, coordinates, directions):
    rest = vectors.double() - coordinates.double() @ directions.double()
    return float(rest.norm() / vectors.double().norm())


@pytest.mark.parametrize("rank", [1, 3, 9])
def test_a_subspace_is_found_whole_and_no_larger(rank):
    vectors = draw(50, rank) @ draw(rank, 30, seed=1)
    found = check(vectors, 12)
    assert len(found[1]) <= rank
    assert loss(vectors, *found) <= LOSS


def test_it_is_nearly_the_best_of_its_size():
    # Lengths that fall slowly, so that no 12 directions hold all.
    scales = torch.arange(1, 31).float() ** -1
    vectors = (torch.linalg.qr(draw(50, 30))[0] * scales) @ torch.linalg.qr(draw(30, 30, seed=1))[0]
    coordinates, directions = check(vectors, 12)
    assert len(directions) == 12
    best = torch.linalg.svdvals(vectors.double())[12:].norm() / vectors.double().norm()
    assert loss(vectors, coordinates, directions) < 1.2 * best
    lengths = coordinates.norm(dim=0)
    assert (lengths.diff() <= 1e-5).all()


@pytest.mark.parametrize(
    "vectors", [torch.zeros(9, 4), torch.ones(9, 4), draw(1, 1), draw(9, 4) * 1e-20, draw(9, 4) * 1e15]
)
@pytest.mark.parametrize("width", [1, 2])
def test_degenerate_vectors(vectors, width):
    check(vectors, min(width, *vectors.shape))

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from som import Alignment, Lattice, align_maps

BOTH = (False, True)


def transformed(grid, transpose, flip_rows, flip_cols, shift):
    """(rows, cols, D) moved by array operations, sharing nothing with the package."""
    grid = grid.transpose(0, 1) if transpose else grid
    return grid.flip([axis for axis, flip in enumerate((flip_rows, flip_cols)) if flip]).roll(shift, (0, 1))


def transformations(rows, cols, topology):
    shifts = list(product(range(rows), range(cols))) if topology == "torus" else [(0, 0)]
    return product(BOTH if rows == cols else (False,), BOTH, BOTH, shifts)


def brute_force(moving, reference, rows, cols, topology):
    moving, reference = (grid.double().view(rows, cols, -1) for grid in (moving, reference))
    return min(
        float((transformed(moving, *how) - reference).square().sum() / (rows * cols))
        for how in transformations(rows, cols, topology)
    )


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@st.composite
def lattice_and_transformation(draw):
    rows, cols = draw(st.integers(3, 6)), draw(st.integers(3, 6))
    if draw(st.booleans()):
        cols = rows
    lattice = Lattice(rows, cols, draw(st.sampled_from(["torus", "plane"])))
    return lattice, draw(st.sampled_from(list(transformations(rows, cols, lattice.topology))))


@settings(deadline=None, max_examples=200)
@given(lattice_and_transformation(), st.sampled_from([0.0, 1e7]))
def test_a_known_transformation_is_recovered(case, offset):
    lattice, how = case
    moving = normal(lattice.rows, lattice.cols, 3).double() + offset
    reference = transformed(moving, *how).flatten(0, 1)
    found = align_maps(moving.flatten(0, 1), reference, lattice)
    assert (found.transpose, found.flip_rows, found.flip_cols, found.shift) == how
    assert found.mean_squared_distance == 0.0
    assert torch.equal(found.field(moving.flatten(0, 1)), reference)


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize(("rows", "cols"), [(3, 4), (4, 3), (4, 4), (5, 5), (2, 5), (2, 2), (1, 6), (5, 1), (1, 1)])
@pytest.mark.parametrize("dimensions", [1, 5])
def test_the_best_of_all_transformations_is_found(rows, cols, topology, dimensions):
    moving, reference = normal(rows * cols, dimensions), normal(rows * cols, dimensions, seed=1)
    found = align_maps(moving, reference, Lattice(rows, cols, topology))
    best = brute_force(moving, reference, rows, cols, topology)
    assert found.mean_squared_distance == pytest.approx(best, rel=1e-12)
    moved = found.field(moving.double())
    assert (moved - reference.double()).square().sum().item() / (rows * cols) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("values", [1, 40, 60])
def test_chunks_change_nothing(monkeypatch, values):
    moving, reference = normal(20, 7), normal(20, 7, seed=1)
    expected = align_maps(moving, reference, Lattice(4, 5))
    monkeypatch.setattr("som.alignment.VALUES", values)
    found = align_maps(moving, reference, Lattice(4, 5))
    assert found.mean_squared_distance == pytest.approx(expected.mean_squared_distance, rel=1e-14)
    assert found.shift == expected.shift


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("shape", [(4, 4), (3, 4)])
def test_symmetric_maps_take_the_first_transformation(shape, topology):
    rows, cols = shape
    lattice = Lattice(rows, cols, topology)
    nothing = Alignment(lattice, False, False, False, (0, 0), 0.0)
    for moving in (
        normal(rows * cols, 3),  # equal maps stay
        torch.full((rows * cols, 3), 0.1),  # nothing to tell units apart
        torch.arange(rows).repeat_interleave(cols)[:, None].float(),  # the columns are all alike
    ):
        assert align_maps(moving, moving, lattice) == nothing


@pytest.mark.parametrize("seed", range(5))
def test_rounding_breaks_no_tie(seed):
    # Two copies of half a map, mirrored as well: 16 transformations leave it as it is.
    quarter = normal(3, 7, 5, seed=seed)
    half = torch.cat((quarter, quarter.flip(0)))
    moving = torch.cat((half, half.flip(1)), 1).repeat(2, 1, 1)
    lattice = Lattice(12, 14)
    found = align_maps(moving.flatten(0, 1), moving.roll((8, 1), (0, 1)).flatten(0, 1), lattice)
    assert found == Alignment(lattice, False, False, False, (2, 1), 0.0)


def test_a_symmetric_map_needs_no_flip():
    # Columns 0 1 2 1: reversing them equals a shift, and the shift comes first.
    moving = (
        torch.tensor([0.0, 1.0, 2.0, 1.0]).repeat(3)[:, None]
        + torch.tensor([0.0, 7.0, 9.0]).repeat_interleave(4)[:, None]
    )
    reference = moving.view(3, 4).flip(1).reshape(12, 1)
    assert align_maps(moving, reference, Lattice(3, 4)) == Alignment(Lattice(3, 4), False, False, False, (0, 3), 0.0)


@settings(deadline=None, max_examples=50)
@given(lattice_and_transformation())
def test_units_and_fields_move_alike(case):
    lattice, (transpose, flip_rows, flip_cols, shift) = case
    alignment = Alignment(lattice, transpose, flip_rows, flip_cols, shift, 0.0)
    field = torch.arange(lattice.units)
    moved = transformed(field.view(lattice.rows, lattice.cols), transpose, flip_rows, flip_cols, shift).flatten()
    assert torch.equal(alignment.field(field), moved)
    assert torch.equal(moved[alignment.units(field)], field)
    assert torch.equal(alignment.field(field[:, None, None].expand(-1, 2, 3))[:, 1, 2], moved)
    assert alignment.units(field.view(lattice.rows, lattice.cols)).shape == (lattice.rows, lattice.cols)


def test_two_fits_of_the_same_codes_come_together():
    angle = torch.linspace(0, 2 * torch.pi, 9)[:-1]
    ring = torch.stack((angle.cos(), angle.sin()), 1)
    torus = torch.cat((3 * ring.repeat_interleave(8, 0), ring.repeat(8, 1)), 1)
    moving = torus.view(8, 8, 4).flip(0).roll((2, 5), (0, 1)).transpose(0, 1).flatten(0, 1) + 0.05 * normal(64, 4)
    found = align_maps(moving, torus, Lattice(8, 8))
    assert found.transpose
    assert found.mean_squared_distance == pytest.approx(4 * 0.05**2, rel=0.3)


@pytest.mark.parametrize(
    ("moving", "reference", "message"),
    [
        (torch.zeros(12, 3), torch.zeros(16, 3), r"K = 12 for a 3 x 4 lattice; got shape \(16, 3\)"),
        (torch.zeros(12, 3), torch.zeros(12, 2), r"in one space; got shapes \(12, 3\) and \(12, 2\)"),
        (torch.full((12, 3), torch.nan), torch.zeros(12, 3), r"row 0 holds NaN"),
    ],
)
def test_refusals(moving, reference, message):
    with pytest.raises(ValueError, match=message):
        align_maps(moving, reference, Lattice(3, 4))


def test_a_field_of_another_map_is_refused():
    alignment = align_maps(torch.zeros(12, 1), torch.zeros(12, 1), Lattice(3, 4))
    with pytest.raises(ValueError, match=r"must be \(12, ...\) on this map; got shape \(4, 2\)"):
        alignment.field(torch.zeros(4, 2))

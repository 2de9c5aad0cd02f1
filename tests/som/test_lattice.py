import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from som import Lattice
from tests.som import reference

SIDES = st.integers(1, 7)


@st.composite
def lattice_and_pair(draw):
    lattice = Lattice(draw(SIDES), draw(SIDES), draw(st.sampled_from(["torus", "plane"])))
    unit = st.integers(0, lattice.units - 1)
    return lattice, draw(unit), draw(unit)


@settings(deadline=None, max_examples=200)
@given(lattice_and_pair())
def test_distance_is_the_minimum_over_the_copies(case):
    lattice, a, b = case
    expected = reference.lattice_distance(a, b, lattice.rows, lattice.cols, lattice.topology)
    found = lattice.distance(torch.tensor(a), torch.tensor(b))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected, rel=1e-6)


@settings(deadline=None)
@given(lattice_and_pair(), st.integers(-9, 9), st.integers(-9, 9))
def test_rolling_a_torus_changes_no_distance(case, down, right):
    lattice, a, b = case
    lattice = Lattice(lattice.rows, lattice.cols)

    def roll(unit):
        row, col = divmod(unit, lattice.cols)
        return (row + down) % lattice.rows * lattice.cols + (col + right) % lattice.cols

    before, after = torch.tensor([a, roll(a)]), torch.tensor([b, roll(b)])
    distance, near = lattice.distance(before, after), lattice.are_neighbours(before, after)
    assert distance[0] == distance[1]
    assert near[0] == near[1]


@settings(deadline=None)
@given(lattice_and_pair())
def test_axis_distances_add_up_to_distance(case):
    lattice, a, b = case
    rows, cols = lattice.axis_distances()
    assert rows.shape == (lattice.rows, lattice.rows)
    assert cols.shape == (lattice.cols, lattice.cols)
    (ra, ca), (rb, cb) = lattice.coordinates(torch.tensor([a, b])).tolist()
    expected = torch.hypot(rows[ra, rb], cols[ca, cb])
    torch.testing.assert_close(lattice.distance(torch.tensor(a), torch.tensor(b)), expected)


def test_units_are_numbered_row_by_row():
    lattice = Lattice(3, 4)
    coordinates = lattice.coordinates(torch.arange(12).view(2, 6))
    assert coordinates.shape == (2, 6, 2)
    assert coordinates.dtype == torch.int64
    assert coordinates[0, 5].tolist() == [1, 1]
    assert coordinates[1, 5].tolist() == [2, 3]


def test_neighbours_on_torus_and_plane():
    # Unit 0 of 4 x 5: beside, below, diagonal; across the seams; and two apart.
    units = torch.tensor([0, 1, 5, 6, 4, 15, 19, 2, 10])
    torus, plane = Lattice(4, 5), Lattice(4, 5, "plane")
    origin = torch.zeros_like(units)
    assert torus.are_neighbours(origin, units).tolist() == [True] * 7 + [False] * 2
    assert plane.are_neighbours(origin, units).tolist() == [True] * 4 + [False] * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4), "a whole number of rows, at least 1; got rows=0"),
        ((3, -1), "a whole number of cols, at least 1; got cols=-1"),
        ((2.0, 4), "got rows=2.0"),
        ((3, "4"), "got cols='4'"),
        ((3, 4, "sphere"), r"topology 'sphere' is unknown; choose 'torus' or 'plane'"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        Lattice(*arguments)

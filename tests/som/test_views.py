import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from som import Lattice, component_planes, hit_map, u_matrix
from tests.som import reference

SHAPES = [(3, 4), (5, 7), (2, 5), (5, 2), (1, 6), (1, 2), (2, 2), (1, 1)]
SIDES = st.integers(1, 6)


def surroundings(unit, rows, cols, topology):
    """The other units of the 3 x 3 block around one, each once."""
    block = set()
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row, col = unit // cols + down, unit % cols + right
            if topology == "torus":
                row, col = row % rows, col % cols
            if 0 <= row < rows and 0 <= col < cols:
                block.add(row * cols + col)
    return block - {unit}


def looped_u_matrix(prototypes, rows, cols, topology):
    table = reference.squared_distances(prototypes, prototypes).sqrt()
    means = torch.zeros(rows * cols, dtype=torch.float64)
    for unit in range(rows * cols):
        around = surroundings(unit, rows, cols, topology)
        means[unit] = sum(table[unit, other] for other in around) / max(1, len(around))
    return means.view(rows, cols).float()


@settings(deadline=None)
@given(SIDES, SIDES, st.sampled_from(["torus", "plane"]))
def test_neighbours_are_the_other_units_around(rows, cols, topology):
    lattice = Lattice(rows, cols, topology)
    table = lattice.neighbours()
    assert table.dtype == torch.int64
    assert table.shape[1] <= 8
    for unit, around in enumerate(table.tolist()):
        others = [other for other in around if other != unit]
        assert len(others) == len(set(others)), "a neighbour is there twice"
        assert set(others) == surroundings(unit, rows, cols, topology)
        if others:
            near = lattice.are_neighbours(torch.tensor(unit), torch.arange(lattice.units))
            assert set(near.nonzero().flatten().tolist()) - {unit} == set(others)


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_u_matrix_equals_the_loops(rows, cols, topology):
    prototypes = torch.randn(rows * cols, 3, generator=torch.Generator().manual_seed(0)) + 5
    found = u_matrix(prototypes, Lattice(rows, cols, topology))
    assert found.shape == (rows, cols)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, looped_u_matrix(prototypes, rows, cols, topology))


def test_u_matrix_takes_few_units_at_a_time(monkeypatch):
    monkeypatch.setattr("som.tiles.ROWS", 5)
    prototypes = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(u_matrix(prototypes, Lattice(3, 4)), looped_u_matrix(prototypes, 3, 4, "torus"))


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(-7, 7), st.integers(-7, 7))
def test_rolling_the_prototypes_rolls_the_u_matrix(rows, cols, down, right):
    prototypes = torch.randn(rows, cols, 3, generator=torch.Generator().manual_seed(2))
    lattice = Lattice(rows, cols)
    rolled = u_matrix(prototypes.roll((down, right), (0, 1)).flatten(0, 1), lattice)
    torch.testing.assert_close(rolled, u_matrix(prototypes.flatten(0, 1), lattice).roll((down, right), (0, 1)))


def test_u_matrix_of_a_torus_sees_the_seam():
    prototypes = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    torch.testing.assert_close(u_matrix(prototypes, Lattice(1, 4)), torch.tensor([[2.0, 1.0, 1.0, 2.0]]))
    torch.testing.assert_close(u_matrix(prototypes, Lattice(4, 1, "plane")), torch.ones(4, 1))


def test_u_matrix_of_a_parameter_has_no_gradients():
    assert not u_matrix(torch.nn.Parameter(torch.randn(12, 3)), Lattice(3, 4)).requires_grad


def test_hit_map_counts_row_by_row():
    bmu = torch.tensor([0, 3, 4, 4, 11])
    hits = hit_map(bmu, Lattice(3, 4))
    assert hits.dtype == torch.int64
    assert hits.tolist() == [[1, 0, 0, 1], [2, 0, 0, 0], [0, 0, 0, 1]]
    assert hit_map(bmu[:0], Lattice(3, 4)).tolist() == [[0] * 4] * 3


def test_component_planes_lay_dimensions_out():
    prototypes = torch.randn(12, 5, generator=torch.Generator().manual_seed(3))
    planes = component_planes(prototypes, Lattice(3, 4))
    assert planes.shape == (5, 3, 4)
    assert planes.data_ptr() == prototypes.data_ptr(), "all planes are a view"
    chosen = component_planes(prototypes, Lattice(3, 4), torch.tensor([4, 0]))
    for row in range(3):
        for col in range(4):
            assert planes[:, row, col].tolist() == prototypes[row * 4 + col].tolist()
            assert chosen[:, row, col].tolist() == prototypes[row * 4 + col, [4, 0]].tolist()
    assert component_planes(prototypes, Lattice(3, 4), []).shape == (0, 3, 4)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (lambda: u_matrix(torch.zeros(12, 3), Lattice(4, 4)), r"K = 16 for a 4 x 4 lattice; got shape \(12, 3\)"),
        (lambda: u_matrix(torch.zeros(12), Lattice(3, 4)), r"got shape \(12,\)"),
        (lambda: hit_map(torch.tensor([3, 12]), Lattice(3, 4)), r"unit 12 is outside \[0, 12\)"),
        (lambda: hit_map(torch.tensor([-1]), Lattice(3, 4)), r"unit -1 is outside"),
        (lambda: component_planes(torch.zeros(12, 3), Lattice(4, 4)), r"K = 16"),
        (lambda: component_planes(torch.zeros(12, 3), Lattice(3, 4), [0, 3]), r"dimension 3 is outside \[0, 3\)"),
        (lambda: component_planes(torch.zeros(12, 3), Lattice(3, 4), [-1]), r"dimension -1 is outside"),
    ],
)
def test_refusals(view, message):
    with pytest.raises(ValueError, match=message):
        view()

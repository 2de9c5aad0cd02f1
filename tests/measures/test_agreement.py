import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score

from measures import map_agreement
from som import Lattice

ROWS, COLS = 3, 4
LATTICE = Lattice(ROWS, COLS)


@pytest.fixture
def reference():
    return torch.randn(ROWS * COLS, 5, generator=torch.Generator().manual_seed(0))


def draws(count, seed):
    return torch.randint(ROWS * COLS, (count,), generator=torch.Generator().manual_seed(seed))


def turned(units):
    """Columns flipped, then 2 rows down and 1 column to the right."""
    row, col = units // COLS, units % COLS
    return (row + 2) % ROWS * COLS + (COLS - col) % COLS


def test_maps_that_differ_by_a_symmetry_agree_wholly(reference):
    bmu = draws(40, 1)
    moving = torch.empty_like(reference)
    moving[turned(torch.arange(ROWS * COLS))] = reference
    found = map_agreement(moving, reference, turned(bmu), bmu, ROWS, COLS)
    assert found.distance == 0
    assert found.adjusted_mutual_information == pytest.approx(1)
    assert found.alignment.flip_cols
    assert map_agreement(reference, reference, turned(bmu), bmu, ROWS, COLS).distance > 1


def test_numbers_are_those_of_loops(reference):
    ours, theirs = draws(40, 1), draws(40, 2)
    found = map_agreement(reference, reference, ours, theirs, ROWS, COLS)
    pairs = [float(LATTICE.distance(a, b)) for a, b in zip(ours, theirs, strict=True)]
    assert found.distance == pytest.approx(sum(pairs) / 40)
    every = [float(LATTICE.distance(a, b)) for a in ours for b in theirs]
    assert found.chance_distance == pytest.approx(sum(every) / 1600)
    assert found.distance == pytest.approx(found.chance_distance, rel=0.2), "BMUs that have nothing to do with another"
    expected = adjusted_mutual_info_score(ours.numpy(), theirs.numpy())
    assert found.adjusted_mutual_information == pytest.approx(expected)
    assert abs(found.adjusted_mutual_information) < 0.2


def test_bad_input(reference):
    bmu = draws(6, 1)
    with pytest.raises(ValueError, match=r"BMUs must be \(N,\) of the same images on both maps"):
        map_agreement(reference, reference, bmu, bmu[:5], ROWS, COLS)
    with pytest.raises(ValueError, match=r"BMUs must be \(N,\)"):
        map_agreement(reference, reference, bmu[:0], bmu[:0], ROWS, COLS)
    with pytest.raises(ValueError, match="12"):
        map_agreement(reference, reference, bmu + 12, bmu, ROWS, COLS)
    with pytest.raises(ValueError, match="in one space"):
        map_agreement(reference[:, :4], reference, bmu, bmu, ROWS, COLS)
    alone = map_agreement(reference, reference, bmu[:1], bmu[:1], ROWS, COLS)
    assert alone.distance == alone.chance_distance == 0

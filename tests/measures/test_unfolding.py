import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import class_centers, unfold
from som import Lattice
from tests.measures import reference

LATTICE = Lattice(3, 4)


@settings(deadline=None)
@given(st.integers(0, 11), st.floats(0, 2.99), st.floats(0, 3.99))
def test_is_the_copy_nearest_to_the_center(unit, row, col):
    found = unfold(torch.tensor([unit]), torch.tensor([row, col], dtype=torch.float64), LATTICE)[0]
    assert ((found >= 0) & (found < torch.tensor([9, 12]))).all()
    assert (int(found[0]) % 3, int(found[1]) % 4) == (unit // 4, unit % 4)
    on_paper = math.dist(found.tolist(), (row + 3, col + 4))
    assert on_paper == pytest.approx(reference.distance((unit // 4, unit % 4), (row, col), LATTICE))


def test_a_class_across_the_seams_is_drawn_in_one_piece():
    hits = torch.zeros(1, 12, dtype=torch.int64)
    bmu = torch.tensor([0, 3, 8, 11])  # the four corners
    hits[0, bmu] = 1
    center = class_centers(hits, LATTICE).center[0]
    found = unfold(bmu, center, LATTICE)
    assert (found.amax(0) - found.amin(0)).tolist() == [1, 1]
    each = unfold(bmu, center.expand(4, 2), LATTICE)
    assert torch.equal(found, each)


def test_edges():
    plane = Lattice(3, 4, "plane")
    assert unfold(torch.tensor([0, 11]), torch.tensor([0.0, 0.0]), plane).tolist() == [[3, 4], [5, 7]]
    assert unfold(torch.tensor([5]), torch.tensor([[math.nan, math.nan]]), LATTICE).isnan().all()
    assert unfold(torch.zeros(0, dtype=torch.int64), torch.zeros(2), LATTICE).shape == (0, 2)
    with pytest.raises(ValueError, match=r"unit 12 is outside \[0, 12\)"):
        unfold(torch.tensor([12]), torch.zeros(2), LATTICE)

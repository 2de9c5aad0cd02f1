import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import MapDisplacement, map_displacement
from som import Lattice
from tests.som import reference

UNIT = st.integers(0, 11)


@settings(deadline=None)
@given(st.lists(st.tuples(UNIT, UNIT), min_size=1, max_size=9), st.sampled_from(["torus", "plane"]))
def test_is_the_mean_over_the_copies(pairs, topology):
    expected = sum(reference.lattice_distance(a, b, 3, 4, topology) for a, b in pairs) / len(pairs)
    before, after = torch.tensor(pairs).T
    metric = MapDisplacement(3, 4, topology)
    metric.update(before[:2], after[:2])
    metric.update(before[2:], after[2:])
    assert metric.compute().item() == pytest.approx(expected, rel=1e-6)
    assert map_displacement(before, after, Lattice(3, 4, topology)).item() == pytest.approx(expected, rel=1e-6)


def test_edges():
    metric = MapDisplacement(3, 4)
    metric.update(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    assert math.isnan(metric.compute())
    metric.update(torch.tensor([5]), torch.tensor([5]))
    assert metric.compute() == 0
    assert metric.higher_is_better is None
    with pytest.raises(ValueError, match=r"must pair up; got shapes \(2,\) and \(1,\)"):
        metric.update(torch.tensor([1, 2]), torch.tensor([1]))

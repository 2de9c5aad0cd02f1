import math

import pytest
import torch

from measures import QuantisationError, TopographicError, quantisation_error, topographic_error
from som import Lattice


def adjacent(a, b, rows, cols, topology):
    """The 3 x 3 block around a, drawn unit by unit."""
    block = set()
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            row, col = a // cols + i, a % cols + j
            if topology == "torus":
                row, col = row % rows, col % cols
            if 0 <= row < rows and 0 <= col < cols:
                block.add(row * cols + col)
    return b in block


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize(("rows", "cols"), [(3, 4), (4, 6), (1, 5), (1, 1)])
def test_topographic_error_counts_every_pair(rows, cols, topology):
    units = torch.arange(rows * cols)
    bmu, second = units.repeat_interleave(len(units)), units.repeat(len(units))
    expected = sum(not adjacent(a, b, rows, cols, topology) for a in units.tolist() for b in units.tolist())
    metric = TopographicError(rows, cols, topology)
    for size in (slice(0, 1), slice(1, None)):
        metric.update(bmu=bmu[size], second=second[size])
    assert metric.topographic_errors.item() == expected
    assert metric.compute().item() == pytest.approx(expected / len(bmu))
    assert torch.equal(metric.compute(), topographic_error(bmu, second, Lattice(rows, cols, topology)))


def test_quantisation_error_weighs_samples_not_batches():
    distance = torch.tensor([1.0, 2.0, 9.0])
    metric = QuantisationError()
    metric.update(distance[:1])
    metric.update(distance[1:])
    assert metric.compute().item() == 4.0
    assert quantisation_error(distance).item() == 4.0


def test_sums_are_wide_enough_for_long_epochs():
    metric = QuantisationError()
    for value in (2.0**25, *[1.0] * 64):
        metric.update(torch.tensor([value]))
    assert metric.distance_sum.item() == 2**25 + 64


def test_lower_is_better():
    near, far = QuantisationError(), QuantisationError()
    near.update(torch.tensor([0.1]))
    far.update(torch.tensor([3.0]))
    assert near.higher_is_better is False
    assert near.compute() < far.compute()
    ordered, folded = TopographicError(5, 7), TopographicError(5, 7)
    ordered.update(torch.tensor([0]), torch.tensor([1]))
    folded.update(torch.tensor([0]), torch.tensor([17]))
    assert ordered.higher_is_better is False
    assert ordered.compute() < folded.compute()


def test_no_samples_give_nan():
    empty = torch.zeros(0, dtype=torch.int64)
    distance, topology = QuantisationError(), TopographicError(3, 4)
    distance.update(torch.zeros(0))
    topology.update(empty, empty)
    assert math.isnan(distance.compute())
    assert math.isnan(topology.compute())
    assert math.isnan(quantisation_error(torch.zeros(0)))
    assert math.isnan(topographic_error(empty, empty, Lattice(3, 4)))


def test_unknown_topology_is_refused():
    with pytest.raises(ValueError, match="topology 'sphere' is unknown"):
        TopographicError(3, 4, "sphere")

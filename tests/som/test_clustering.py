from collections import deque

import pytest
import torch
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from som import Lattice, cluster_prototypes
from tests.som.test_views import surroundings


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def regions(labels, rows, cols, topology):
    """The number of connected regions of each label, by breadth-first search."""
    seen, found = set(), {}
    for start in range(rows * cols):
        if start in seen:
            continue
        label = int(labels[start])
        found[label] = found.get(label, 0) + 1
        queue = deque([start])
        seen.add(start)
        while queue:
            for other in surroundings(queue.popleft(), rows, cols, topology) - seen:
                if int(labels[other]) == label:
                    seen.add(other)
                    queue.append(other)
    return found


def test_two_halves_are_two_clusters():
    prototypes = normal(6, 4, 3)
    prototypes[3:] += 100
    expected = torch.tensor([0] * 12 + [1] * 12)
    for options in ({"n_clusters": 2}, {"distance_threshold": 50.0}):
        labels = cluster_prototypes(prototypes.flatten(0, 1), Lattice(6, 4), **options)
        assert labels.dtype == torch.int64
        assert torch.equal(labels, expected)


@pytest.mark.parametrize("linkage", ["ward", "average", "complete", "single"])
@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize(("rows", "cols"), [(5, 7), (1, 9), (2, 6)])
def test_each_cluster_is_one_region(rows, cols, topology, linkage):
    # Prototypes in no order: without connectivity, clusters would be scattered.
    labels = cluster_prototypes(normal(rows * cols, 2), Lattice(rows, cols, topology), 4, linkage=linkage)
    assert regions(labels, rows, cols, topology) == {0: 1, 1: 1, 2: 1, 3: 1}


def test_a_cluster_across_the_seam_is_one_on_the_torus_and_two_on_the_plane():
    prototypes = torch.zeros(4, 6, 1)
    prototypes[:, 2:4] = 10.0
    prototypes = prototypes.flatten(0, 1) + 0.01 * normal(24, 1)
    torus = cluster_prototypes(prototypes, Lattice(4, 6), distance_threshold=5.0).view(4, 6)
    plane = cluster_prototypes(prototypes, Lattice(4, 6, "plane"), distance_threshold=5.0).view(4, 6)
    assert torus.tolist() == [[0, 0, 1, 1, 0, 0]] * 4
    assert plane.tolist() == [[0, 0, 1, 1, 2, 2]] * 4


def test_labels_equal_those_of_a_dense_connectivity():
    prototypes = normal(20, 3)
    dense = torch.zeros(20, 20)
    for unit in range(20):
        for other in surroundings(unit, 4, 5, "torus"):
            dense[unit, other] = 1
    expected = AgglomerativeClustering(5, connectivity=dense.numpy()).fit_predict(prototypes.double().numpy())
    assert adjusted_rand_score(expected, cluster_prototypes(prototypes, Lattice(4, 5), 5).numpy()) == 1.0


def test_rolling_the_map_rolls_the_clusters():
    prototypes = normal(4, 5, 3)
    rolled = prototypes.roll((1, 2), (0, 1)).flatten(0, 1)
    labels = cluster_prototypes(prototypes.flatten(0, 1), Lattice(4, 5), 4).view(4, 5).roll((1, 2), (0, 1))
    assert adjusted_rand_score(labels.flatten().numpy(), cluster_prototypes(rolled, Lattice(4, 5), 4).numpy()) == 1.0


def test_labels_are_numbered_in_the_order_of_the_units():
    labels = cluster_prototypes(normal(35, 2), Lattice(5, 7), 6).tolist()
    assert list(dict.fromkeys(labels)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("topology", ["torus", "plane"])
def test_smallest_maps_and_extreme_numbers(topology):
    assert cluster_prototypes(torch.ones(1, 3), Lattice(1, 1, topology), 1).tolist() == [0]
    assert cluster_prototypes(torch.ones(1, 3), Lattice(1, 1, topology), distance_threshold=1.0).tolist() == [0]
    assert cluster_prototypes(torch.ones(2, 3), Lattice(1, 2, topology), 1).tolist() == [0, 0]
    assert cluster_prototypes(normal(12, 3), Lattice(3, 4, topology), 12).tolist() == list(range(12))


def test_a_parameter_is_clustered():
    labels = cluster_prototypes(torch.nn.Parameter(normal(12, 3)), Lattice(3, 4), 2)
    assert labels[torch.tensor([0, 11])].shape == (2,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"either n_clusters or distance_threshold; got n_clusters=None and distance_threshold=None"),
        ({"n_clusters": 2, "distance_threshold": 1.0}, r"got n_clusters=2 and distance_threshold=1.0"),
        ({"n_clusters": 0}, r"from 1 to the 12 units of the map; got 0"),
        ({"n_clusters": 13}, r"from 1 to the 12 units of the map; got 13"),
        ({"distance_threshold": -1.0}, r"distance_threshold must be at least 0; got -1.0"),
        ({"n_clusters": 2, "linkage": "centroid"}, r"linkage 'centroid' is unknown; choose one of 'ward', 'average'"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        cluster_prototypes(torch.zeros(12, 3), Lattice(3, 4), **options)


def test_prototypes_of_another_lattice_are_refused():
    with pytest.raises(ValueError, match=r"K = 16"):
        cluster_prototypes(torch.zeros(12, 3), Lattice(4, 4), 2)
    with pytest.raises(ValueError, match=r"row 0 holds NaN"):
        cluster_prototypes(torch.full((12, 3), torch.nan), Lattice(3, 4), 2)

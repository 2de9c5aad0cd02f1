"""Clusters of units: regions of the lattice whose prototypes are alike.

Agglomerative clustering of the prototypes (K, D) by scikit-learn, with the lattice as connectivity: only clusters that
touch are merged, so each is one connected region, across the seams of a torus. Ward's criterion with such constraints
is that of Murtagh (1985); Vesanto and Alhoniemi (2000) cluster maps this way to cluster the codes.
"""

from typing import Literal, get_args

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.cluster import AgglomerativeClustering
from torch import Tensor

from som.checks import check_finite, check_prototypes
from som.lattice import Lattice

Linkage = Literal["ward", "average", "complete", "single"]


def cluster_prototypes(
    prototypes: Tensor,
    lattice: Lattice,
    n_clusters: int | None = None,
    *,
    distance_threshold: float | None = None,
    linkage: Linkage = "ward",
) -> Tensor:
    """Cluster the units of a map; a code belongs to the cluster of its BMU, ``labels[bmu]``.

    Args:
        prototypes: (K, D), finite. Scikit-learn works on the CPU and holds 2 K D float64 numbers for Ward's linkage,
            some 8 copies of the prototypes for the others.
        lattice: the map's lattice.
        n_clusters: how many clusters, from 1 to K; or give
        distance_threshold: the distance at and above which clusters are not merged, in the units of the prototypes
            (for Ward's linkage sqrt(2 x the growth of the sum of squares)).
        linkage: "ward", "average", "complete" or "single".

    Returns:
        (K,) int64 labels on the prototypes' device, from 0, numbered in the order of their first units.

    Raises:
        ValueError: if the prototypes are not (K, D) or not finite, not exactly one of ``n_clusters`` and
            ``distance_threshold`` is given or it is out of its range, or the linkage is unknown.

    Example:
        >>> prototypes = torch.tensor([[0.0], [9.0], [9.0], [0.1]])
        >>> cluster_prototypes(prototypes, Lattice(1, 4), n_clusters=2)  # the first and the last meet at the seam
        tensor([0, 1, 1, 0])
        >>> cluster_prototypes(prototypes, Lattice(1, 4, "plane"), distance_threshold=5.0)
        tensor([0, 1, 1, 2])
    """
    check_prototypes(prototypes, lattice)
    check_finite(prototypes)
    _check_options(lattice, n_clusters, distance_threshold, linkage)
    if lattice.units == 1:  # scikit-learn refuses to cluster one sample
        return torch.zeros(1, dtype=torch.int64, device=prototypes.device)
    clustering = AgglomerativeClustering(
        n_clusters, distance_threshold=distance_threshold, linkage=linkage, connectivity=_connectivity(lattice)
    )
    labels = clustering.fit_predict(prototypes.detach().cpu().float().numpy())
    _, first = np.unique(labels, return_index=True)
    return torch.from_numpy(first.argsort().argsort()[labels]).to(prototypes.device)


def _connectivity(lattice: Lattice) -> csr_matrix:
    """(K, K) sparse: 1 between neighbours on the lattice."""
    neighbours = lattice.neighbours(torch.device("cpu"))
    units = torch.arange(lattice.units)[:, None].expand_as(neighbours)
    present = neighbours != units
    pairs = (units[present].numpy(), neighbours[present].numpy())
    return csr_matrix((np.ones(len(pairs[0])), pairs), shape=(lattice.units, lattice.units))


def _check_options(lattice: Lattice, n_clusters: int | None, distance_threshold: float | None, linkage: str) -> None:
    if (n_clusters is None) == (distance_threshold is None):
        raise ValueError(
            "clustering needs either n_clusters or distance_threshold; got "
            f"n_clusters={n_clusters} and distance_threshold={distance_threshold}"
        )
    if n_clusters is not None and not 1 <= n_clusters <= lattice.units:
        raise ValueError(f"n_clusters must be from 1 to the {lattice.units} units of the map; got {n_clusters}")
    if distance_threshold is not None and not distance_threshold >= 0:
        raise ValueError(f"distance_threshold must be at least 0; got {distance_threshold}")
    if linkage not in get_args(Linkage):
        allowed = ", ".join(repr(name) for name in get_args(Linkage))
        raise ValueError(f"linkage {linkage!r} is unknown; choose one of {allowed}")

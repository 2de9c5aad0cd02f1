"""What is measured of every map: one collection a depth, updated with what a batch's search found."""

from torchmetrics import MeanMetric, MetricCollection

from measures.classes import CollisionLift
from measures.occupancy import EffectiveUnits, Hits
from measures.quality import QuantisationError, TopographicError
from som.lattice import Lattice


def map_measures(lattice: Lattice, classes: int) -> MetricCollection:
    """Build the measures of one map. Update them by name; each takes what it needs.

    Args:
        lattice: the map's lattice.
        classes: number of classes.

    Returns:
        quantisation_error, topographic_error, effective_units, collision_lift, hits (classes, K) and dead_channels, the
        mean of ``value``. To update: ``bmu``, ``second``, ``label`` (B,) int64, ``distance`` and ``value`` (B,) float.

    Example:
        >>> import torch
        >>> measures = map_measures(Lattice(3, 4), classes=2)
        >>> bmu, second = torch.tensor([0, 0, 5]), torch.tensor([1, 2, 6])
        >>> label, ones = torch.tensor([0, 0, 1]), torch.ones(3)
        >>> measures.update(bmu=bmu, second=second, label=label, distance=ones, value=ones)
        >>> measures.compute()["effective_units"]
        tensor(3.)
    """
    return MetricCollection(
        {
            "quantisation_error": QuantisationError(),
            "topographic_error": TopographicError(lattice.rows, lattice.cols, lattice.topology),
            "effective_units": EffectiveUnits(lattice.units, classes),
            "collision_lift": CollisionLift(lattice.units, classes),
            "hits": Hits(lattice.units, classes),
            "dead_channels": MeanMetric(),
        }
    )

"""What is measured of every map: one collection a depth, updated with what a batch's search found."""

from torchmetrics import MeanMetric, MetricCollection

from measures.classes import CollisionLift
from measures.occupancy import EffectiveUnits, Hits
from measures.pairs import DistanceRatio
from measures.quality import QuantisationError, TopographicError
from measures.scale import ExplainedVariance, RelativeQuantisationError
from som.lattice import Lattice


def map_measures(lattice: Lattice, classes: int, dimensions: int) -> MetricCollection:
    """Build the measures of one map. Update them by name; each takes what it needs.

    Args:
        lattice: the map's lattice.
        classes: number of classes.
        dimensions: D of its codes.

    Returns:
        quantisation_error, topographic_error, explained_variance, relative_quantisation_error, effective_units,
        collision_lift, distance_ratio, hits (classes, K) and dead_channels, the mean of ``value``. To update: ``bmu``,
        ``second``, ``label`` (B,) int64, ``distance`` (the map's own), ``euclidean`` (to the BMU) and ``value`` (B,)
        float, and ``codes`` (B, D) in the space of the map.

    Example:
        >>> import torch
        >>> measures = map_measures(Lattice(3, 4), classes=2, dimensions=1)
        >>> bmu, second = torch.tensor([0, 0, 5]), torch.tensor([1, 2, 6])
        >>> label, ones = torch.tensor([0, 0, 1]), torch.ones(3)
        >>> found = dict(bmu=bmu, second=second, label=label, distance=ones, euclidean=ones, value=ones)
        >>> measures.update(codes=torch.tensor([[0.0], [1.0], [5.0]]), **found)
        >>> measures.compute()["effective_units"]
        tensor(3.)
    """
    on_map = (lattice.rows, lattice.cols, classes, lattice.topology)
    return MetricCollection(
        {
            "quantisation_error": QuantisationError(),
            "topographic_error": TopographicError(lattice.rows, lattice.cols, lattice.topology),
            "explained_variance": ExplainedVariance(dimensions),
            "relative_quantisation_error": RelativeQuantisationError(dimensions),
            "effective_units": EffectiveUnits(lattice.units, classes),
            "collision_lift": CollisionLift(lattice.units, classes),
            "distance_ratio": DistanceRatio(*on_map),
            "hits": Hits(lattice.units, classes),
            "dead_channels": MeanMetric(),
        }
    )

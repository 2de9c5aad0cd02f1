"""Measures on maps: torchmetrics with exact sum states, each over a functional twin."""

from measures.classes import CollisionLift, collision_lift
from measures.collection import map_measures
from measures.displacement import MapDisplacement, map_displacement
from measures.neighbourhoods import continuity, trustworthiness
from measures.occupancy import EffectiveUnits, Hits, count_hits, density, effective_units
from measures.quality import QuantisationError, TopographicError, quantisation_error, topographic_error
from measures.rates import Rate, success_rate, wilson_interval

__all__ = [
    "CollisionLift",
    "EffectiveUnits",
    "Hits",
    "MapDisplacement",
    "QuantisationError",
    "Rate",
    "TopographicError",
    "collision_lift",
    "continuity",
    "count_hits",
    "density",
    "effective_units",
    "map_displacement",
    "map_measures",
    "quantisation_error",
    "success_rate",
    "topographic_error",
    "trustworthiness",
    "wilson_interval",
]

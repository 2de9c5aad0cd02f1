"""Self-organizing maps in plain PyTorch: lattice, neighbourhood, search, energy, rules, schedules and the map itself.

The function ``som.energy.energy`` is imported from its file: exported here, it would hide the file of the same name.
"""

from som.checks import check_finite, check_shape
from som.energy import stability
from som.estimator import SOM
from som.initial import InitialMethod
from som.lattice import Lattice, Topology
from som.map import Distance, SelfOrganizingMap
from som.neighbourhood import Factors, Neighbourhood, neighbourhood_factors, neighbourhood_weights, smooth
from som.rules import Rule
from som.schedules import Schedule, ScheduleKind
from som.search import Winners, find_bmus
from som.standardiser import RunningStandardiser
from som.winners import Winner

__all__ = [
    "SOM",
    "Distance",
    "Factors",
    "InitialMethod",
    "Lattice",
    "Neighbourhood",
    "Rule",
    "RunningStandardiser",
    "Schedule",
    "ScheduleKind",
    "SelfOrganizingMap",
    "Topology",
    "Winner",
    "Winners",
    "check_finite",
    "check_shape",
    "find_bmus",
    "neighbourhood_factors",
    "neighbourhood_weights",
    "smooth",
    "stability",
]

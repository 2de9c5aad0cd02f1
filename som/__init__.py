"""Self-organising maps in plain PyTorch: lattice, neighbourhood, search, energy, schedules and the map itself.

The function ``som.energy.energy`` is imported from its file: exported here, it would hide the file of the same name.
"""

from som.checks import check_finite, check_shape
from som.energy import stability
from som.lattice import Lattice, Topology
from som.map import InitialMethod, SelfOrganizingMap
from som.neighbourhood import Factors, gaussian, neighbourhood_weights, smooth
from som.schedules import Schedule, ScheduleKind
from som.search import Winners, find_bmus
from som.standardiser import RunningStandardiser

__all__ = [
    "Factors",
    "InitialMethod",
    "Lattice",
    "RunningStandardiser",
    "Schedule",
    "ScheduleKind",
    "SelfOrganizingMap",
    "Topology",
    "Winners",
    "check_finite",
    "check_shape",
    "find_bmus",
    "gaussian",
    "neighbourhood_weights",
    "smooth",
    "stability",
]

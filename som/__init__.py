"""Self-organizing maps in plain PyTorch: lattice, neighbourhood, search, energy, rules, schedules and the map itself.

For a fitted map: views to draw, clusters of its units, alignment with another map. ``som.presets`` has the settings
that repeat the steps of quicksom and MiniSom.

The function ``som.energy.energy`` is imported from its file: exported here, it would hide the file of the same name.
"""

from som.alignment import Alignment, align_maps
from som.checks import check_finite, check_shape
from som.clustering import Linkage, cluster_prototypes
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
from som.views import component_planes, hit_map, u_matrix
from som.winners import Winner

__all__ = [
    "SOM",
    "Alignment",
    "Distance",
    "Factors",
    "InitialMethod",
    "Lattice",
    "Linkage",
    "Neighbourhood",
    "Rule",
    "RunningStandardiser",
    "Schedule",
    "ScheduleKind",
    "SelfOrganizingMap",
    "Topology",
    "Winner",
    "Winners",
    "align_maps",
    "check_finite",
    "check_shape",
    "cluster_prototypes",
    "component_planes",
    "find_bmus",
    "hit_map",
    "neighbourhood_factors",
    "neighbourhood_weights",
    "smooth",
    "stability",
    "u_matrix",
]

"""Measures on maps and codes: torchmetrics with exact sum states, each over a functional twin; docs/measures.md."""

from measures.agreement import Agreement, map_agreement
from measures.center_distances import (
    CenterDistance,
    distances_between_centers,
    distances_to_centers,
    mean_center_distance,
    uniform_center_distance,
)
from measures.centers import ClassCenters, class_centers, medoid_units, paper_naive_centers
from measures.classes import CollisionLift, NearCollisionLift, collision_lift
from measures.clouds import energy_distances, mmd
from measures.code_shift import progress, relative_shift
from measures.codes_classes import knn_accuracy, nearest_class_mean
from measures.codes_dimension import intrinsic_dimension
from measures.codes_sample import CodeSample, SampledCodes, random_keys
from measures.codes_similarity import class_means, class_rdm, linear_cka, rsa
from measures.codes_spectrum import participation_ratio, pca_spectrum, principal_coordinates
from measures.codes_structure import code_similarity, code_structure
from measures.collection import map_measures
from measures.displacement import MapDisplacement, map_displacement
from measures.equal_n import Comparison, compare, equal_samples, equalise_hits, subsample_hits
from measures.information import AdjustedMutualInformation, adjusted_mutual_information, information_measures
from measures.intervals import Interval, jackknife
from measures.neighbourhoods import continuity, trustworthiness
from measures.nulls import AgainstNull, permutation_test, permuted_hits, uniform_hits
from measures.occupancy import (
    DeadUnits,
    EffectiveUnits,
    Hits,
    count_hits,
    dead_units,
    density,
    effective_units,
    expected_dead_units,
    rarefied_dead_units,
)
from measures.outliers import CodeBank
from measures.pairs import DistanceRatio, PairMeans, distance_ratio, pair_distances
from measures.partial_correlation import Correlation, rank_correlation
from measures.prototypes import PrototypeDistance, prototype_distance, prototype_similarity
from measures.quality import QuantisationError, TopographicError, quantisation_error, topographic_error
from measures.rates import Rate, success_rate, wilson_interval
from measures.regions import ClassRegions, center_rank, leaving_depth
from measures.scale import (
    CodeVariance,
    ExplainedVariance,
    RelativeQuantisationError,
    explained_variance,
    median_pairwise_distance,
    relative_energy,
    relative_quantisation_error,
)
from measures.separation import auroc, auroc_interval, roc_curve
from measures.structure import Estimate, by_quantity, class_structure, compare_structure
from measures.transfer import LabelTransfer, chance_accuracy, label_transfer, left_out_transfer
from measures.unfolding import unfold

__all__ = [
    "AdjustedMutualInformation",
    "AgainstNull",
    "Agreement",
    "CenterDistance",
    "ClassCenters",
    "ClassRegions",
    "CodeBank",
    "CodeSample",
    "CodeVariance",
    "CollisionLift",
    "Comparison",
    "Correlation",
    "DeadUnits",
    "DistanceRatio",
    "EffectiveUnits",
    "Estimate",
    "ExplainedVariance",
    "Hits",
    "Interval",
    "LabelTransfer",
    "MapDisplacement",
    "NearCollisionLift",
    "PairMeans",
    "PrototypeDistance",
    "QuantisationError",
    "Rate",
    "RelativeQuantisationError",
    "SampledCodes",
    "TopographicError",
    "adjusted_mutual_information",
    "auroc",
    "auroc_interval",
    "by_quantity",
    "center_rank",
    "chance_accuracy",
    "class_centers",
    "class_means",
    "class_rdm",
    "class_structure",
    "code_similarity",
    "code_structure",
    "collision_lift",
    "compare",
    "compare_structure",
    "continuity",
    "count_hits",
    "dead_units",
    "density",
    "distance_ratio",
    "distances_between_centers",
    "distances_to_centers",
    "effective_units",
    "energy_distances",
    "equal_samples",
    "equalise_hits",
    "expected_dead_units",
    "explained_variance",
    "information_measures",
    "intrinsic_dimension",
    "jackknife",
    "knn_accuracy",
    "label_transfer",
    "leaving_depth",
    "left_out_transfer",
    "linear_cka",
    "map_agreement",
    "map_displacement",
    "map_measures",
    "mean_center_distance",
    "median_pairwise_distance",
    "medoid_units",
    "mmd",
    "nearest_class_mean",
    "pair_distances",
    "paper_naive_centers",
    "participation_ratio",
    "pca_spectrum",
    "permutation_test",
    "permuted_hits",
    "principal_coordinates",
    "progress",
    "prototype_distance",
    "prototype_similarity",
    "quantisation_error",
    "random_keys",
    "rank_correlation",
    "rarefied_dead_units",
    "relative_energy",
    "relative_quantisation_error",
    "relative_shift",
    "roc_curve",
    "rsa",
    "subsample_hits",
    "success_rate",
    "topographic_error",
    "trustworthiness",
    "unfold",
    "uniform_center_distance",
    "uniform_hits",
    "wilson_interval",
]

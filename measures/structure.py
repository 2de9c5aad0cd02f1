"""Everything that the counts of a map tell of its classes, in one call: values, intervals and nulls."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from measures.center_distances import distances_between_centers, distances_to_centers, mean_center_distance
from measures.centers import check_counts, class_centers, paper_naive_centers
from measures.clouds import straight_kernel, von_mises_kernel
from measures.equal_n import Comparison, compare, equalise_hits
from measures.information import INFORMATION, expected_information, information_values
from measures.intervals import jackknife
from measures.nulls import Alternative, against_null, permutation_test, uniform_hits
from measures.occupancy import dead_units, effective_units
from measures.pairs import box_kernel, distance_kernel, pair_means
from measures.transfer import chance_accuracy, label_transfer, left_out_transfer
from som.lattice import Lattice

RADII = (0, 1, 2)  # of the collision lift
SIGMA = 2.0  # width of the MMD's kernel, in lattice steps
UNIFORM_DRAWS = 40

ALTERNATIVES: Mapping[str, Alternative] = {
    "class_effective_units": "less",
    "collision_lift": "greater",
    "collision_lift_r1": "greater",
    "collision_lift_r2": "greater",
    "distance_in": "less",
    "distance_out": "greater",
    "distance_ratio": "less",
    "energy_distance": "greater",
    "mmd": "greater",
    **INFORMATION,
    "left_out_transfer": "greater",
    "center_distance": "less",
    "paper_naive_center_distance": "less",
}
"""What is tested against permuted labels, and where class structure moves it."""

UNIFORM_ALTERNATIVES: Mapping[str, Alternative] = {"dead_units": "greater", "effective_units": "less"}
"""What is tested against uniform BMUs, and where clusters on the map move it."""


@dataclass(frozen=True)
class Estimate:
    """One number of :func:`class_structure`; NaN stands for "undefined" and, but for ``value``, for "has none".

    Args:
        value: of the data.
        low: lower bound of its 95 % interval over samples (grouped jackknife).
        high: upper bound.
        null_mean: mean over null draws.
        null_low: their 2.5 % quantile.
        null_high: their 97.5 % quantile.
        p_value: one-sided, in the direction of class structure.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    null_mean: float = math.nan
    null_low: float = math.nan
    null_high: float = math.nan
    p_value: float = math.nan


def class_structure(
    hits: Tensor, lattice: Lattice, *, train: Tensor | None = None, permutations: int = 200, seed: int = 0
) -> dict[str, Estimate]:
    """Measure how the classes lie on a map, from counts alone.

    Nothing is comparable between tables of unequal numbers of samples a class: see ``measures.equal_n``.

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice.
        train: (C, K) counts of another split on the same map, for held-out label transfer.
        permutations: shuffles of the labels.
        seed: of shuffles, draws and the jackknife.

    Returns:
        By name (docs/measures.md defines each):

        - ``samples``, ``classes`` (with samples), ``fewest_samples``, ``most_samples`` (of those classes);
        - ``dead_units``, ``effective_units``, with uniform BMUs as their null;
        - with permuted labels as their null: ``class_effective_units`` (one class, the inverse of the mean chance that
            two of its samples share a unit), ``collision_lift``, ``collision_lift_r1``, ``collision_lift_r2`` (radius 1
            and 2), ``distance_in``, ``distance_out``, ``distance_ratio``, ``energy_distance``, ``mmd`` (means over
            pairs of classes), ``mutual_information``, ``purity``, ``jensen_shannon``, ``adjusted_mutual_information``,
            ``left_out_transfer``, ``center_distance``, ``paper_naive_center_distance``;
        - ``uniform_center_distance``, the ``center_distance`` of as many uniform BMUs a class; ``center_separation``,
            the mean distance between the centers of two classes; ``ambiguous_centers``, the share of classes whose
            center is not to be trusted;
        - with ``train``: ``label_transfer``, its interval over ``hits`` and its null with the labels of ``train``
            permuted, and ``chance_accuracy``.

    Raises:
        ValueError: if the counts are not (C, K), not whole numbers from 0, or ``permutations`` is below 1.

    Example:
        >>> hits = torch.zeros(2, 12, dtype=torch.int64)
        >>> hits[0, :2], hits[1, 6:8] = 5, 5
        >>> found = class_structure(hits, Lattice(3, 4), permutations=20)
        >>> round(found["distance_ratio"].value, 3), round(found["distance_ratio"].p_value, 3)
        (0.304, 0.048)
    """
    for table in (hits,) if train is None else (hits, train):
        check_counts(table, lattice)
    hits, train = hits.long(), None if train is None else train.long()
    expected = expected_information(hits)
    kernels = _kernels(lattice, hits.device)

    def tested_statistics(table: Tensor) -> dict[str, Tensor]:
        return _statistics(table, lattice, kernels) | information_values(table, expected)

    def interval_statistics(table: Tensor) -> dict[str, Tensor]:
        return _statistics(table, lattice, kernels) | {"effective_units": effective_units(table.sum(0))}

    found = {name: Estimate(value) for name, value in _counts(hits).items()}
    found |= _against_uniform(hits, lattice, seed)
    for name, null in permutation_test(tested_statistics, hits, ALTERNATIVES, permutations, seed).items():
        found[name] = Estimate(**vars(null))
    for name, interval in jackknife(interval_statistics, hits, seed=seed).items():
        found[name] = Estimate(**(vars(found[name]) | {"low": interval.low, "high": interval.high}))
    found |= _separation(hits, lattice)
    if train is not None:
        found |= _held_out(train, hits, lattice, permutations, seed)
    return found


def compare_structure(first: Tensor, second: Tensor, lattice: Lattice, *, seed: int = 0) -> Mapping[str, Comparison]:
    """Compare how the classes of two splits lie on one map, at equal numbers of samples a class.

    Args:
        first: (C, K) counts of a split.
        second: (C, K) counts of another.
        lattice: the map's lattice.
        seed: of the draws that bring both to equal numbers, and of the jackknife.

    Returns:
        A comparison for each of the names of :func:`class_structure` that are a number of the counts alone, such as
        ``effective_units``, ``collision_lift``, ``distance_ratio`` and ``center_distance``; NaN where undefined.

    Raises:
        ValueError: if either is not (C, K) of whole numbers from 0, or their C differ.

    Example:
        >>> hits = torch.zeros(2, 12, dtype=torch.int64)
        >>> hits[0, :2], hits[1, 6:8] = 5, 5
        >>> compared = compare_structure(hits, 3 * hits, Lattice(3, 4))["distance_ratio"]
        >>> compared.low < 0 < compared.high
        True
    """
    for table in (first, second):
        check_counts(table, lattice)
    kernels = _kernels(lattice, first.device)

    def statistics(table: Tensor) -> dict[str, Tensor]:
        return _statistics(table, lattice, kernels) | {"effective_units": effective_units(table.sum(0))}

    ours, theirs = equalise_hits(first, second, seed=seed)
    return compare(statistics, ours, theirs, seed=seed)


def by_quantity(found: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, float]]:
    """Turn estimates of several depths into plain numbers, each under a name of its own, as measures.json has them.

    Args:
        found: {depth: {name: estimate}}, the same names at every depth.

    Returns:
        {quantity: {depth: number}}: an estimate's value under its name, its other fields under `<name>_low`,
        `<name>_null_mean` and so on, left out where they are NaN at every depth.

    Example:
        >>> by_quantity({"CL1": {"purity": Estimate(0.5, low=0.25)}, "CL2": {"purity": Estimate(1.0)}})
        {'purity': {'CL1': 0.5, 'CL2': 1.0}, 'purity_low': {'CL1': 0.25, 'CL2': nan}}
    """
    table: dict[str, dict[str, float]] = {}
    for name in next(iter(found.values()), {}):
        for field in fields(Estimate):
            numbers = {depth: getattr(estimates[name], field.name) for depth, estimates in found.items()}
            if field.name == "value":
                table[name] = numbers
            elif not all(map(math.isnan, numbers.values())):
                table[f"{name}_{field.name}"] = numbers
    return table


def _counts(hits: Tensor) -> dict[str, float]:
    totals = hits.sum(1)
    totals = totals[totals > 0]
    least, most = (float(totals.min()), float(totals.max())) if len(totals) else (0.0, 0.0)
    return {
        "samples": float(totals.sum()),
        "classes": float(len(totals)),
        "fewest_samples": least,
        "most_samples": most,
    }


def _kernels(lattice: Lattice, device: torch.device) -> Tensor:
    """Distance, the energy distance's d, the MMD's k, and who meets within each radius, by displacement."""
    kernels = [
        distance_kernel(lattice, device),
        straight_kernel(lattice, device),
        von_mises_kernel(lattice, SIGMA, device),
        *(box_kernel(lattice, radius, device) for radius in RADII),
    ]
    return torch.stack(kernels)


def _statistics(hits: Tensor, lattice: Lattice, kernels: Tensor) -> dict[str, Tensor]:
    """What is tested against permuted labels, but for the information measures."""
    distance, straight, kernel, *meeting = pair_means(hits, kernels, lattice)
    lifts = [means.mean_within / means.between for means in meeting]
    centers = class_centers(hits, lattice).center, paper_naive_centers(hits, lattice)
    intrinsic, naive = (distances_to_centers(hits, center, lattice).nanmean() for center in centers)
    return {
        "class_effective_units": 1 / meeting[0].mean_within,
        "collision_lift": lifts[0],
        "collision_lift_r1": lifts[1],
        "collision_lift_r2": lifts[2],
        "distance_in": distance.mean_within,
        "distance_out": distance.between,
        "distance_ratio": distance.mean_within / distance.between,
        "energy_distance": 2 * (straight.between - straight.mean_within),
        "mmd": 2 * (kernel.mean_within - kernel.between),
        "left_out_transfer": left_out_transfer(hits, lattice),
        "center_distance": intrinsic,
        "paper_naive_center_distance": naive,
    }


def _of_all(hits: Tensor) -> dict[str, Tensor]:
    """What is tested against uniform BMUs."""
    pooled = hits.sum(0)
    return {"dead_units": dead_units(pooled), "effective_units": effective_units(pooled)}


def _against_uniform(hits: Tensor, lattice: Lattice, seed: int) -> dict[str, Estimate]:
    generator = torch.Generator().manual_seed(seed)
    draws = [uniform_hits(hits.sum(1), lattice.units, generator) for _ in range(UNIFORM_DRAWS)]
    found = {}
    for name, value in _of_all(hits).items():
        null = [float(_of_all(draw)[name]) for draw in draws]
        found[name] = Estimate(**vars(against_null(float(value), null, UNIFORM_ALTERNATIVES[name])))
    centers = torch.stack([mean_center_distance(draw, lattice) for draw in draws])
    found["uniform_center_distance"] = Estimate(float(centers.mean()))
    return found


def _separation(hits: Tensor, lattice: Lattice) -> dict[str, Estimate]:
    """Mean distance between the centers of two classes, and the share of centers that are ambiguous."""
    centers = class_centers(hits[hits.sum(1) > 0], lattice)
    apart = distances_between_centers(centers.center, lattice)
    count = len(apart)
    return {
        "center_separation": Estimate(float(apart.sum()) / (count * (count - 1)) if count > 1 else math.nan),
        "ambiguous_centers": Estimate(float(centers.ambiguous.double().mean())),
    }


def _held_out(train: Tensor, test: Tensor, lattice: Lattice, permutations: int, seed: int) -> dict[str, Estimate]:
    null = permutation_test(
        lambda table: {"label_transfer": label_transfer(table, test, lattice)},
        train,
        {"label_transfer": "greater"},
        permutations,
        seed,
    )
    interval = jackknife(lambda table: {"label_transfer": label_transfer(train, table, lattice)}, test, seed=seed)
    bounds = {name: getattr(interval["label_transfer"], name) for name in ("low", "high")}
    return {
        "label_transfer": Estimate(**(vars(null["label_transfer"]) | bounds)),
        "chance_accuracy": Estimate(float(chance_accuracy(train, test))),
    }

"""The numbers of the attack stage, from the ledger alone: so they are the same however it was run, split or resumed.

Only the rows of one attack at one budget are in memory at a time.
"""

from pathlib import Path
from typing import Any

import numpy as np

from callbacks.attack.by_depth import by_depth, leaving
from callbacks.attack.checks import Outcome, run_checks
from callbacks.attack.group import Context, Group, rate, read_groups
from callbacks.attack.separation import separation
from measures import rank_correlation

__all__ = ["summarise"]


def summarise(path: Path, context: Context) -> dict[str, Any]:
    """Summarise a ledger.

    Args:
        path: adversarial.parquet.
        context: to read it with.

    Returns:
        `specs`: what each attack is. `attacks`: by attack and budget, what it did. `curves`: robust accuracy and
        success of every attack that has a norm, by budget; those of an attack for the least norm come from the norms
        it found. `checks`: signs that something is wrong. `homogeneity`: by attack for the least norm and depth, the
        rank correlation of that norm with the density of training images around the BMU. `reference_images`.
    """
    attacks: dict[str, dict[str, Any]] = {spec.label: {} for spec in context.specs}
    curves: dict[str, dict[str, Any]] = {}
    homogeneity: dict[str, Any] = {}
    outcomes = []
    for group in read_groups(path, context):
        label = group.spec.label
        attacks[label][group.name] = _numbers(group)
        curves.setdefault(label, {}).update(_curve(group))
        outcomes.append(Outcome.of(group))
        if group.spec.kind == "minimal" and context.references.regions:
            homogeneity[label] = _homogeneity(group)
    return {
        "specs": {spec.label: spec.describe() | {"kind": spec.kind} for spec in context.specs},
        "attacks": attacks,
        "curves": curves,
        "checks": run_checks(outcomes),
        "homogeneity": homogeneity or None,
        "reference_images": context.references.images,
    }


def _numbers(group: Group) -> dict[str, Any]:
    attacked, reference = group.attacked, group.columns["reference"]
    flipped = {kind: (group.columns[f"{kind}_prediction"] != reference)[attacked] for kind in ("control", "gaussian")}
    depths = by_depth(group) if attacked.any() else {}
    moved = {depth: numbers["displacement"] for depth, numbers in depths.items()}
    nothing = dict.fromkeys(("adversarial", "control", "gaussian"), float("nan"))
    return {
        "robust_accuracy": rate(group.survived),
        "attack_success": rate(group.success[attacked]),
        "control_success": rate(flipped["control"]),
        "gaussian_success": rate(flipped["gaussian"]),
        "norm": _quartiles(group.norms[group.success]),
        "control": str(group.columns["control"][0]),
        # By depth, as tables and figures show them.
        **{
            name: {depth: moved.get(depth, nothing)[kind] for depth in group.context.module.depths}
            for name, kind in (
                ("displacement", "adversarial"),
                ("control_displacement", "control"),
                ("gaussian_displacement", "gaussian"),
            )
        },
        "by_depth": depths,
        "leaving": leaving(group) if attacked.any() else None,
        "separation": separation(group),
    }


def _curve(group: Group) -> dict[str, Any]:
    """Robust accuracy and success by budget, as they follow from one run."""
    spec = group.spec
    if spec.kind != "minimal":
        return {
            group.name: {"robust_accuracy": rate(group.survived), "attack_success": rate(group.success[group.attacked])}
        }
    found = {}
    for epsilon in spec.epsilons:
        fallen = group.success & (group.norms <= epsilon * (1 + 1e-6))  # norms are float32
        survived = group.right & ~(fallen & ~group.survived)
        found[spec.budget_name(epsilon)] = {
            "robust_accuracy": rate(survived),
            "attack_success": rate(fallen[group.attacked]),
        }
    return found


def _homogeneity(group: Group) -> dict[str, Any]:
    """Whether images in dense places of the map need smaller perturbations, also at equal logit margins."""
    success = group.success
    margin = group.columns["logit_margin"][success]
    found = {}
    for depth in group.context.module.depths:
        regions = group.context.references.regions[depth]
        density = regions.log_density(group.units(depth, "clean", success).to(regions.counts.device)).cpu().numpy()
        norms = group.norms[success]
        found[depth] = {
            "correlation": rank_correlation(norms, density, seed=group.context.seed)._asdict(),
            "given_logit_margin": rank_correlation(norms, density, margin, seed=group.context.seed)._asdict(),
        }
    return found


def _quartiles(values: np.ndarray) -> dict[str, float]:
    """Of the realised norms of successful attacks, in the unit of budgets."""
    values = values[~np.isnan(values)]
    if not len(values):
        return dict.fromkeys(("low", "median", "high"), float("nan"))
    return dict(zip(("low", "median", "high"), np.quantile(values, (0.25, 0.5, 0.75)).tolist(), strict=True))

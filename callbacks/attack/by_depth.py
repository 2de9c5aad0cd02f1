"""What one attack at one budget did on the maps, depth by depth, beside noise of the same size."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from callbacks.attack.group import Group, rate
from callbacks.attack.ledger import KINDS
from measures import center_rank, class_centers, leaving_depth

__all__ = ["by_depth", "leaving"]

PERTURBED = KINDS[1:]
RADII = (1, 2, 4)  # lattice steps
BINS = 4  # of equally many images, by the margin of their BMU


def by_depth(group: Group) -> dict[str, dict[str, Any]]:
    """Every number that there is for each depth; those that need training images are null without them.

    Of all attacked images: displacement, stayed (share whose BMU is the same), beyond (share displaced by more than so
    many lattice steps), shift (median relative shift of the code), amplification (median ratio of the shift to that of
    the control), flips_by_margin (share whose BMU changed, by the margin of the clean BMU).
    Of the successful ones: progress (median), region and target_rank.
    """
    return {depth: _depth(group, depth) for depth in group.context.module.depths}


def leaving(group: Group) -> dict[str, Any] | None:
    """At which depth successful attacks leave the region of the class for good; None without training images.

    Returns:
        `at`: by depth the share of images that leave there, of those that were in their region anywhere; `stayed`: that
        of those that never leave or come back; `never_inside`: the share, of all successful ones whose two classes have
        training images, that were in their region at no depth; `images`: how many these all are.
    """
    depths = group.context.module.depths
    if not group.context.references.regions:
        return None
    before, after = (torch.stack([_log_odds(group, depth, kind) for depth in depths]) for kind in KINDS[:2])
    known = ~before.isnan().any(0)
    first, inside = leaving_depth(before[:, known], after[:, known])
    shares = [float((first[inside] == place).double().mean()) for place in range(len(depths) + 1)]  # NaN of none
    return {
        "at": dict(zip(depths, shares, strict=False)),
        "stayed": shares[-1],
        "never_inside": float((~inside).double().mean()),
        "images": int(known.sum()),
    }


def _depth(group: Group, depth: str) -> dict[str, Any]:
    moved = {kind: group.displacement(depth, kind) for kind in PERTURBED}
    shift = {kind: group.of(f"{depth}_{kind}_shift") for kind in PERTURBED}
    return {
        "displacement": {kind: _mean(steps) for kind, steps in moved.items()},
        "stayed": {kind: rate((steps == 0).numpy()) for kind, steps in moved.items()},
        "beyond": {
            f"{radius}": {kind: rate((steps > radius).numpy()) for kind, steps in moved.items()} for radius in RADII
        },
        "shift": {kind: _median(each) for kind, each in shift.items()},
        "amplification": {
            kind: _median(shift["adversarial"] / shift[kind]) for kind in PERTURBED if kind != "adversarial"
        },
        "flips_by_margin": _flips(group, depth, moved),
        "progress": _progress(group, depth),
        "region": _region(group, depth),
        "target_rank": _target_rank(group, depth),
    }


def _flips(group: Group, depth: str, moved: dict[str, Tensor]) -> list[dict[str, Any]]:
    """The share of changed BMUs by quarters of the clean margin, from BMUs that were nearly tied to clear ones."""
    margin = group.of(f"{depth}_margin").numpy()
    quarters = np.array_split(np.argsort(margin, kind="stable"), BINS)
    return [
        {
            "margin": [float(margin[part].min()), float(margin[part].max())],
            **{kind: rate((steps > 0).numpy()[part]) for kind, steps in moved.items()},
        }
        for part in quarters
        if len(part)
    ]


def _progress(group: Group, depth: str) -> dict[str, float] | None:
    if depth not in group.context.references.means:
        return None
    columns = {kind: group.of(f"{depth}_{kind}_progress", group.success) for kind in PERTURBED}
    return {kind: _median(values) for kind, values in columns.items()} | {
        "images": int((~columns["adversarial"].isnan()).sum())
    }


def _log_odds(group: Group, depth: str, kind: str) -> Tensor:
    """(n,) of the successful attacks: log p(right class | BMU) - log p(adversarial class | BMU)."""
    own, other = (group.of(name, group.success) for name in ("reference", "adversarial_prediction"))
    regions = group.context.references.regions[depth]
    places = group.units(depth, kind, group.success), own, other
    return regions.log_odds(*(each.to(regions.counts.device) for each in places)).cpu()


def _region(group: Group, depth: str) -> dict[str, Any] | None:
    if depth not in group.context.references.regions:
        return None
    odds = {kind: _log_odds(group, depth, kind) for kind in KINDS}
    known = ~odds["clean"].isnan()
    inside = known & (odds["clean"] > 0)
    return {
        "log_odds": {kind: _median(each[known]) for kind, each in odds.items()},
        "inside": rate((odds["clean"][known] > 0).numpy()),
        "left": {kind: rate((odds[kind][inside] < 0).numpy()) for kind in PERTURBED},
    }


def _target_rank(group: Group, depth: str) -> dict[str, Any] | None:
    """The rank of the adversarial class among all centers, by distance from the BMU: before and after."""
    references = group.context.references
    if depth not in references.regions:
        return None
    regions, lattice = references.regions[depth], group.context.module.lattice
    centers = class_centers(regions.hits.cpu(), lattice).center
    other = group.of("adversarial_prediction", group.success)
    units = {kind: group.units(depth, kind, group.success) for kind in KINDS}
    ranks = {kind: _median(center_rank(units[kind], other, centers, lattice)) for kind in KINDS}
    return {**ranks, "of": int((regions.counts > 0).sum())}


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


def _median(values: Tensor) -> float:
    """Of the values that are defined."""
    values = values[~values.isnan()].double()
    return float(values.quantile(0.5)) if len(values) else float("nan")

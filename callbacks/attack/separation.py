"""How well scores tell adversarial images from clean and noisy ones, depth by depth: the map's beside the baselines.

Positives are the successful attacks on images that are right when clean; negatives are those clean images and both
their controls. What the scores are fit on, the maps and the training images, holds none of them. A score that
separates an attack that does not know of it is no detector: its figure means nothing without that of the attack
`adaptive`, which keeps codes and BMUs while it changes the prediction.
"""

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from callbacks.attack.group import Group
from callbacks.attack.ledger import KINDS
from measures import auroc_interval

__all__ = ["Scores", "separation", "separation_scores"]

Scores = dict[str, dict[str, tuple[Tensor, Tensor, Tensor, Tensor]]]  # positives, negatives, and the images of both
BASELINES = ("lid", "knn", "mahalanobis")
WHOLE = "all"  # in place of a depth, for scores that have none
CHUNK = 2**22  # probabilities in memory at a time


def separation(group: Group) -> dict[str, dict[str, list[float]]] | None:
    """AUROC of every score at every depth, [value, low, high] with a bootstrap over images.

    Returns:
        By score and depth ("all" for scores of the whole network); None where test images are not disjoint from those
        that the maps were fit on, or nothing was fooled.
    """
    if group.context.embedded or not group.success.any():
        return None
    seed = group.context.seed
    return {
        score: {depth: list(auroc_interval(*arrays, seed=seed)) for depth, arrays in depths.items()}
        for score, depths in separation_scores(group).items()
    }


def separation_scores(group: Group) -> Scores:
    """The scores themselves, higher = more suspicious, by score and depth."""
    found: Scores = {}
    context = group.context
    for depth in context.module.depths:
        _add(found, group, "relative_error", depth, {kind: f"{depth}_{kind}_error" for kind in KINDS})
        for name in BASELINES:
            columns = {kind: f"{depth}_{kind}_{name}" for kind in KINDS}
            if columns["clean"] in group.columns and not np.isnan(group.columns[columns["clean"]]).all():
                _add(found, group, name, depth, columns)
        if depth in context.references.regions:
            regions = context.references.regions[depth]
            device = regions.counts.device
            density, surprise = {}, {}
            for kind in KINDS:
                units = group.units(depth, kind).to(device)
                density[kind] = -regions.log_density(units).cpu()
                surprise[kind] = -regions.log_probability(units, group.of(f"{kind}_prediction").to(device)).cpu()
            _put(found, group, "log_density", depth, density)
            _put(found, group, "log_class_probability", depth, surprise)
    if context.references.regions and len(context.module.depths) > 1:
        _put(found, group, "disagreement", WHOLE, {kind: _disagreement(group, kind) for kind in KINDS})
    _put(found, group, "max_softmax", WHOLE, {kind: -group.of(f"{kind}_confidence") for kind in KINDS})
    _add(found, group, "energy", WHOLE, {kind: f"{kind}_energy" for kind in KINDS})
    return found


def _disagreement(group: Group, kind: str) -> Tensor:
    """(n,) mean over pairs of depths of the total variation between the classes' probabilities at the BMUs."""
    regions = group.context.references.regions
    units = {depth: group.units(depth, kind) for depth in group.context.module.depths}
    count = len(next(iter(units.values())))
    classes = len(next(iter(regions.values())).counts)
    size = max(1, CHUNK // classes)
    parts = []
    for start in range(0, count, size):
        at = {depth: regions[depth].probabilities(each[start : start + size]) for depth, each in units.items()}
        apart = [(a - b).abs().sum(1) / 2 for a, b in combinations(at.values(), 2)]
        parts.append(torch.stack(apart).mean(0))
    return torch.cat(parts).cpu() if parts else torch.zeros(0)


def _add(found: Scores, group: Group, score: str, depth: str, columns: dict[str, str]) -> None:
    _put(found, group, score, depth, {kind: group.of(column) for kind, column in columns.items()})


def _put(found: Scores, group: Group, score: str, depth: str, values: dict[str, Tensor]) -> None:
    """Split values of the attacked images by kind; undefined ones are left out."""
    image = group.of("id")
    success = torch.from_numpy(group.success[group.attacked])
    positive, who = values["adversarial"][success], image[success]
    kinds = [kind for kind in KINDS if kind != "adversarial"]
    if (group.columns["control"] == "gaussian").any():
        kinds.remove("gaussian")  # it is the control
    negative, whose = torch.cat([values[kind] for kind in kinds]), image.repeat(len(kinds))
    keep, kept = ~positive.isnan(), ~negative.isnan()
    arrays = positive[keep], negative[kept], who[keep], whose[kept]
    if len(arrays[0]) and len(arrays[1]):
        found.setdefault(score, {})[depth] = arrays

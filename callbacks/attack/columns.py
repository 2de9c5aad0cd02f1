"""What the ledger says of images, from one pass of the backbone and its maps: columns (B,) by name.

Kinds of images are "clean", "adversarial", "control" (noise of the attack's own norm) and "gaussian" (noise of its L2).
Distances between codes are in the space of the map, over the median distance of two test images.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from callbacks.attack.references import References
from codes import Extraction
from lightning_modules import CodeSOM
from measures import progress, relative_shift

__all__ = ["Seen", "clean_columns", "ledger_rows", "norms_of", "perturbed_columns", "see"]


class Seen(NamedTuple):
    """What is seen of a batch of images of one kind.

    Attributes:
        columns: predictions, scores and places, by column name.
        codes: by depth, (B, D) in the space of the map.
        margin: by depth, (B,) the margin of the BMU, (d2 - d1) / d1.
        logits: (B, classes).
    """

    columns: dict[str, Tensor]
    codes: dict[str, Tensor]
    margin: dict[str, Tensor]
    logits: Tensor


def see(kind: str, module: CodeSOM, extraction: Extraction, references: References) -> Seen:
    """Find the BMUs of codes, and score them and the logits.

    Columns: `<kind>_prediction`, `<kind>_confidence` (the largest softmax), `<kind>_energy` (-log sum exp logits), and
    by depth `<depth>_<kind>_row`, `_col`, `_error` (distance to the BMU) and, beside training images, `_lid`, `_knn`
    and `_mahalanobis`.
    """
    logits = extraction.logits
    assert logits is not None
    logits = logits.float()
    columns = {
        f"{kind}_prediction": logits.argmax(1),
        f"{kind}_confidence": logits.softmax(1).amax(1),
        f"{kind}_energy": -logits.logsumexp(1),
    }
    codes, margin = {}, {}
    for depth, som in module.maps.items():
        found = som(extraction.codes[depth])
        codes[depth] = som.encode(extraction.codes[depth])
        nearest, second = found.distance, found.second_distance
        if som.distance == "cosine":  # the distance of vectors of length 1
            nearest, second = (2 * nearest).sqrt(), (2 * second).sqrt()
        margin[depth] = (second - nearest) / nearest
        row, col = module.lattice.coordinates(found.bmu).unbind(-1)
        columns |= {f"{depth}_{kind}_row": row, f"{depth}_{kind}_col": col}
        columns[f"{depth}_{kind}_error"] = nearest / references.scale[depth]
        if depth in references.banks:
            scores = references.banks[depth].scores(codes[depth])
            columns |= {f"{depth}_{kind}_{name}": score for name, score in scores.items()}
    return Seen(columns, codes, margin, logits)


def clean_columns(seen: Seen, reference: Tensor) -> dict[str, Tensor]:
    """Of clean images besides: `logit_margin` of the class that counts as right, and each BMU's `<depth>_margin`."""
    own = seen.logits.gather(1, reference[:, None])[:, 0]
    others = seen.logits.scatter(1, reference[:, None], -torch.inf).amax(1)
    return {"logit_margin": own - others} | {f"{depth}_margin": margin for depth, margin in seen.margin.items()}


def perturbed_columns(
    kind: str, seen: Seen, before: Mapping[str, Tensor], references: References, own: Tensor, other: Tensor
) -> dict[str, Tensor]:
    """Of changed images besides, by depth: `_shift` of the code, and `_progress` towards the mean of another class.

    Args:
        kind: of the images.
        seen: what is seen of them.
        before: codes of the same images when clean, by depth.
        references: measured before.
        own: (B,) the class that counts as right.
        other: (B,) the class that the adversarial image is taken for.
    """
    columns = {}
    for depth, codes in seen.codes.items():
        columns[f"{depth}_{kind}_shift"] = relative_shift(before[depth], codes, references.scale[depth])
        if depth in references.means:
            mean = references.means[depth]
            columns[f"{depth}_{kind}_progress"] = progress(before[depth], codes, mean(own), mean(other))
    return columns


def norms_of(kind: str, step: Tensor) -> dict[str, Tensor]:
    """Realised norms of perturbations (B, 3, H, W): `linf` and so on, after `<kind>_` for controls."""
    flat = step.flatten(1)
    prefix = "" if kind == "adversarial" else f"{kind}_"
    return {
        f"{prefix}linf": flat.abs().amax(1),
        f"{prefix}l2": flat.norm(dim=1),
        f"{prefix}l1": flat.abs().sum(1),
        f"{prefix}l0": (flat != 0).sum(1).float(),
    }


def ledger_rows(
    known: Mapping[str, Tensor], found: Mapping[str, Tensor], chosen: Tensor, attacked: Tensor, settings: dict[str, Any]
) -> dict[str, Any]:
    """Lay a batch out as rows of the ledger.

    Args:
        known: columns (B,) of every image.
        found: columns (b,) of the attacked images.
        chosen: (B,) bool, which images get rows.
        attacked: (B,) bool, b of them, all chosen.
        settings: columns of one value.

    Returns:
        Arrays over the chosen images by column name, null where an image was not attacked; and the settings.
    """
    mask = attacked[chosen].cpu().numpy()
    rows: dict[str, Any] = {name: values[chosen].cpu().numpy() for name, values in known.items()}
    for name, values in found.items():
        full = np.zeros(len(mask), values.cpu().numpy().dtype)
        full[mask] = values.cpu().numpy()
        rows[name] = pa.array(full, mask=~mask)
    return rows | {"attacked": mask} | settings

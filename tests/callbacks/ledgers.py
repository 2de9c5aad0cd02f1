"""Rows of a ledger with chosen content, for tests of what reads them."""

from types import SimpleNamespace

import numpy as np
import torch

from callbacks.attack.group import Context, Group
from callbacks.attack.ledger import KINDS, ledger_schema
from callbacks.attack.references import References
from callbacks.attack.specs import parse_attacks
from measures import ClassRegions
from som import Lattice

DEPTHS = ("CL1", "CL2")
LATTICE = Lattice(4, 5)
MODULE = SimpleNamespace(lattice=LATTICE, depths=DEPTHS)


def context(*attacks, regions=None, embedded=False, images=0) -> Context:
    """Attacks in the order given, with budgets 1 and 4; regions by depth from counts (C, 20)."""
    specs = parse_attacks(list(attacks or ("fgsm",)), [1, 4], 5)
    scale = dict.fromkeys(DEPTHS, 1.0)
    references = References(None, [], images, scale, images)
    if regions is not None:
        references.regions = {depth: ClassRegions(regions, LATTICE) for depth in DEPTHS}
        references.means = dict.fromkeys(DEPTHS, None)
    return Context(MODULE, specs, references, embedded)


def columns(count: int, seed=0, label="fgsm", at=4.0, **given) -> dict[str, np.ndarray]:
    """Random rows of images that are right and attacked, each pulled from class 0 to class 1; given columns replace."""
    random = np.random.default_rng(seed)
    rows: dict[str, np.ndarray] = {}
    for field in ledger_schema(DEPTHS, "labels", True):
        name = field.name
        if name.endswith("_row"):
            rows[name] = random.integers(LATTICE.rows, size=count)
        elif name.endswith("_col"):
            rows[name] = random.integers(LATTICE.cols, size=count)
        elif str(field.type) in ("int64", "int32"):
            rows[name] = np.zeros(count, np.int64)
        elif str(field.type) == "string":
            rows[name] = np.array([""] * count)
        else:
            rows[name] = random.random(count)
    rows |= {"id": np.arange(count), "adversarial_prediction": np.ones(count, np.int64)}
    rows |= {
        "attacked": np.ones(count, bool),
        "attack": np.array([label] * count),
        "control": np.array(["sign"] * count),
    }
    rows["budget"] = np.full(count, np.nan if at is None else at)
    return rows | {name: np.asarray(value) for name, value in given.items()}


def group(count: int, context_: Context | None = None, **given) -> Group:
    return Group(columns(count, **given), context_ or context())


def units(rows: dict[str, np.ndarray], depth: str, kind: str) -> torch.Tensor:
    return torch.from_numpy(rows[f"{depth}_{kind}_row"] * LATTICE.cols + rows[f"{depth}_{kind}_col"])


__all__ = ["DEPTHS", "KINDS", "LATTICE", "MODULE", "columns", "context", "group", "units"]

"""The rows of one attack at one budget, as the summaries read them: who was attacked, who fell, and where BMUs went."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from callbacks.attack.ledger import read_ledger
from callbacks.attack.references import References
from callbacks.attack.specs import AttackSpec
from lightning_modules import CodeSOM
from measures import wilson_interval

__all__ = ["Context", "Group", "rate", "read_groups"]


@dataclass(frozen=True)
class Context:
    """What the rows of a ledger are read with.

    Args:
        module: for its lattice and its depths.
        specs: the attacks.
        references: measured before them.
        embedded: whether test images are those that the maps were fit on.
        seed: of bootstraps.
    """

    module: CodeSOM
    specs: Sequence[AttackSpec]
    references: References
    embedded: bool = False
    seed: int = 0


class Group:
    """The rows of one attack at one budget.

    Args:
        columns: of `read_ledger`.
        context: to read them with.

    Attributes:
        spec: the attack.
        budget: in the unit of its norm, None without one.
        right: (N,) bool, right when clean.
        attacked: (N,) bool.
        survived: (N,) bool, right after the attack too, if there was one.
        success: (N,) bool, the attack did what it was to do: reach the target, or leave the right class.
    """

    def __init__(self, columns: dict[str, np.ndarray], context: Context) -> None:
        self.columns = columns
        self.context = context
        specs = {spec.label: spec for spec in context.specs}
        self.spec = specs[str(columns["attack"][0])]
        budget = float(columns["budget"][0])
        self.budget = None if np.isnan(budget) else budget
        reference, prediction = columns["reference"], columns["adversarial_prediction"]
        self.right = columns["clean_prediction"] == reference
        self.attacked = columns["attacked"].astype(bool)
        self.survived = self.right & (~self.attacked | (prediction == reference))
        targeted = self.spec.target != "untargeted"
        self.success = self.attacked & (prediction == columns["target"] if targeted else prediction != reference)

    @property
    def name(self) -> str:
        """What results call the budget."""
        return self.spec.budget_name(self.budget)

    def of(self, column: str, chosen: np.ndarray | None = None) -> Tensor:
        """A column as a tensor, over the attacked images or over others."""
        return torch.from_numpy(self.columns[column][self.attacked if chosen is None else chosen])

    def units(self, depth: str, kind: str, chosen: np.ndarray | None = None) -> Tensor:
        """(n,) int64 BMUs of images of a kind."""
        row, col = (self.of(f"{depth}_{kind}_{axis}", chosen) for axis in ("row", "col"))
        return row * self.context.module.lattice.cols + col

    def displacement(self, depth: str, kind: str, chosen: np.ndarray | None = None) -> Tensor:
        """(n,) lattice steps between the BMUs of the clean images and of those of a kind."""
        return self.context.module.lattice.distance(self.units(depth, "clean", chosen), self.units(depth, kind, chosen))

    @property
    def norms(self) -> np.ndarray:
        """(N,) realised norms in the attack's own norm; NaN where not attacked, or where it has none."""
        if self.spec.norm == "none":
            return np.full(len(self.right), np.nan)
        return self.columns[self.spec.norm] * (255 if self.spec.norm == "linf" else 1)


def read_groups(path: Path, context: Context) -> Iterator[Group]:
    """The rows of a ledger, one attack and budget at a time; those that have any."""
    for columns in read_ledger(path):
        if len(columns["id"]):
            yield Group(columns, context)


def rate(successes: np.ndarray) -> dict[str, float]:
    """The rate of (n,) outcomes with its Wilson interval, as plain numbers.

    >>> rate(np.array([True, True]))["rate"]
    1.0
    """
    count, trials = int(successes.sum()), len(successes)
    low, high = wilson_interval(count, trials)
    return {"rate": count / trials if trials else float("nan"), "low": low, "high": high, "trials": trials}

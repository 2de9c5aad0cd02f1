"""Signs that an evaluation is wrong: masked gradients, weak attacks, or a mistake in the data (Carlini et al. 2019).

Each compares what two attacks, or two budgets, do to the same images: b images fall to the first alone, c to the second
alone. Where the first should do no better, a warning needs b > c and an exact sign test of the b + c below 0.05.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from callbacks.attack.group import Group
from callbacks.attack.specs import AttackSpec

__all__ = ["Outcome", "run_checks"]

SINGLE, ITERATED = ("fgsm",), ("bim", "pgd", "pgd_l2", "pgd_l1", "mi_fgsm", "autoattack")
UNBOUNDED = 128  # 1/255: half of the range turns any image grey
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Outcome:
    """Which images an attack brought down at one budget.

    Args:
        spec: the attack.
        budget: in its unit.
        ids: (n,) of the attacked images.
        success: (n,) bool.
    """

    spec: AttackSpec
    budget: float | None
    ids: np.ndarray
    success: np.ndarray

    @classmethod
    def of(cls, group: Group) -> "Outcome":
        """That of the rows of a ledger."""
        return cls(group.spec, group.budget, group.columns["id"][group.attacked], group.success[group.attacked])

    @property
    def name(self) -> str:
        """What a warning calls it."""
        return f"{self.spec.label} at {self.spec.budget_name(self.budget)}"


def run_checks(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Check all that the attacks which ran allow.

    Returns:
        For each check its `name`, whether it `passed` (None: nothing ran that would tell) and the `evidence`, a
        sentence for each that failed or, where none did, on what was compared.
    """
    return [
        _check("iterated attacks find at least what a single step does", _iterated(outcomes)),
        _check("larger budgets find at least what smaller ones do", _monotone(outcomes)),
        _check("white-box attacks find at least what transferred examples do", _transferred(outcomes)),
        _check("without a bound nothing survives", _unbounded(outcomes)),
    ]


Finding = tuple[bool, str]


def _check(name: str, findings: list[Finding]) -> dict[str, Any]:
    failures = [text for passed, text in findings if not passed]
    evidence = failures or ([f"{len(findings)} comparisons"] if findings else ["no attack ran that would tell"])
    return {"name": name, "passed": not failures if findings else None, "evidence": evidence}


def _iterated(outcomes: Sequence[Outcome]) -> list[Finding]:
    own = [each for each in outcomes if not each.spec.source and each.spec.target == "untargeted"]
    return [
        _at_least(many, one)
        for one in own
        for many in own
        if one.spec.name in SINGLE
        and many.spec.name in ITERATED
        and (one.spec.norm, one.budget) == (many.spec.norm, many.budget)
    ]


def _monotone(outcomes: Sequence[Outcome]) -> list[Finding]:
    by_label: dict[str, list[Outcome]] = {}
    for each in outcomes:
        if each.budget is not None:
            by_label.setdefault(each.spec.label, []).append(each)
    ordered = [sorted(each, key=lambda outcome: outcome.budget or 0) for each in by_label.values()]
    return [_at_least(larger, smaller) for each in ordered for smaller, larger in pairwise(each)]


def _transferred(outcomes: Sequence[Outcome]) -> list[Finding]:
    return [
        _at_least(white, moved)
        for moved in outcomes
        for white in outcomes
        if moved.spec.source
        and not white.spec.source
        and moved.spec.label.startswith(f"{white.spec.label}_from_")
        and white.budget == moved.budget
        and white.spec.kind != "minimal"  # which stops at the boundary of the network that it sees
    ]


def _unbounded(outcomes: Sequence[Outcome]) -> list[Finding]:
    findings = []
    for each in outcomes:
        wide = each.spec.norm == "linf" and each.spec.name in ITERATED and (each.budget or 0) >= UNBOUNDED
        minimal = each.spec.kind == "minimal" and not each.spec.alone
        if (wide or minimal) and not each.spec.source and each.spec.target == "untargeted" and len(each.ids):
            left = int((~each.success).sum())
            findings.append((left == 0, f"{each.name}: {left} of {len(each.ids)} images survive, expected none"))
    return findings


def _at_least(stronger: Outcome, weaker: Outcome) -> Finding:
    common, first, second = np.intersect1d(stronger.ids, weaker.ids, return_indices=True)
    strong, weak = stronger.success[first], weaker.success[second]
    only_weak, only_strong = int((weak & ~strong).sum()), int((strong & ~weak).sum())
    failed = only_weak > only_strong and _sign_test(only_weak, only_strong) < SIGNIFICANCE
    return not failed, (
        f"{stronger.name} brings down {int(strong.sum())} and {weaker.name} {int(weak.sum())} of {len(common)} images "
        f"({only_weak} fall to the latter alone, {only_strong} to the former)"
    )


def _sign_test(first: int, second: int) -> float:
    """One-sided p-value of at least so many of the one kind, if both were equally likely."""
    return float(stats.binomtest(first, first + second, alternative="greater").pvalue)

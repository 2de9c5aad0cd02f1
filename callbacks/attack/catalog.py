"""The attacks that go by a name, as plain data: which class of Foolbox each is, in which norms, and how it is run.

Kinds: a "bounded" attack searches within a budget, a "minimal" one for the least norm, and a "fixed" one does what its
own settings say. Foolbox has no seed argument, and three things make its results depend on the batch: draws from
global generators, stopping rules over the batch, and sums over the batch. An entry that is `alone` has one of these in
its own steps, so it sees one image at a time, with generators seeded by the image's id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["CATALOG", "DEFAULT_EPSILONS", "UNIT_NAMES", "Entry", "Kind", "Norm"]

Norm = Literal["linf", "l2", "l1", "l0", "none"]
Kind = Literal["bounded", "minimal", "fixed"]

# What is written behind a budget: 1/255 of the pixel range, pixel values, a count of the 3 x H x W values of an image.
UNIT_NAMES: Mapping[Norm, str] = {"linf": "/255", "l2": "", "l1": "", "l0": " values", "none": ""}
# Where a specification gives none; those of linf are the callback's own.
DEFAULT_EPSILONS: Mapping[Norm, tuple[float, ...]] = {
    "l2": (0.1, 0.25, 0.5, 1, 2, 4),
    "l1": (2, 5, 10, 25, 50, 100),
    "l0": (10, 30, 100, 300, 1000, 3000),
    "none": (),
}


@dataclass(frozen=True)
class Entry:
    """One attack by name.

    Args:
        classes: the class of Foolbox for each norm; the first norm is the default.
        kind: "bounded", "minimal" or "fixed".
        targeted: whether it can be aimed at a class.
        steps: how many where the specification gives none: a number, None for the callback's own, 0 for no steps.
        steps_argument: what the class calls them.
        stepsize: relative step size times steps, for attacks that take `rel_stepsize`; None for the class's own.
        random_start: whether a bounded attack starts at a random point, so that restarts make sense.
        alone: whether it sees one image at a time.
        settings: arguments of the class that are not Foolbox's own defaults.
    """

    classes: Mapping[Norm, str]
    kind: Kind = "bounded"
    targeted: bool = True
    steps: int | None = None
    steps_argument: str = "steps"
    stepsize: float | None = None
    random_start: bool = False
    alone: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def _norms(pattern: str) -> dict[Norm, str]:
    return {"linf": pattern.format("Linf"), "l2": pattern.format("L2"), "l1": pattern.format("L1")}


_PGD = _norms("{}ProjectedGradientDescentAttack")
_FMN: dict[str, Any] = {"kind": "minimal", "steps": 100}
# The searches over the constant stop early by the loss of the whole batch, unless told not to.
_CONSTANT: dict[str, Any] = {"kind": "minimal", "steps": 100}
_SEARCH = {"binary_search_steps": 6, "initial_const": 0.1, "abort_early": False}
_NOISE: dict[str, Any] = {"targeted": False, "steps": 100, "steps_argument": "repeats", "alone": True}
_MAPS: dict[str, Any] = {"targeted": False, "steps": 40, "stepsize": 2.5}
_UNTARGETED: dict[str, Any] = {"targeted": False, "kind": "minimal", "alone": True}

CATALOG: Mapping[str, Entry] = {
    "fgsm": Entry(_norms("{}FastGradientAttack"), targeted=False, steps=0),
    "bim": Entry(_norms("{}BasicIterativeAttack"), stepsize=2.5),
    "pgd": Entry(_PGD, stepsize=2.5, random_start=True),
    "pgd_l2": Entry({"l2": _PGD["l2"]}, stepsize=2.5, random_start=True),
    "pgd_l1": Entry({"l1": _PGD["l1"]}, stepsize=2.5, random_start=True),
    "mi_fgsm": Entry(_norms("{}MomentumIterativeFastGradientMethod"), stepsize=1.0),
    "deepfool": Entry(
        {"l2": "L2DeepFoolAttack", "linf": "LinfDeepFoolAttack"}, kind="minimal", targeted=False, steps=50
    ),
    "cw_l2": Entry({"l2": "L2CarliniWagnerAttack"}, **_CONSTANT, settings=_SEARCH),
    "ead": Entry({"l1": "EADAttack"}, **_CONSTANT, settings=_SEARCH | {"decision_rule": "L1"}),
    "fmn_l0": Entry({"l0": "L0FMNAttack"}, **_FMN),
    "fmn_l1": Entry({"l1": "L1FMNAttack"}, **_FMN),
    "fmn_l2": Entry({"l2": "L2FMNAttack"}, **_FMN),
    "fmn_linf": Entry({"linf": "LInfFMNAttack"}, **_FMN),
    "ddn": Entry({"l2": "DDNAttack"}, kind="minimal", steps=100),
    "boundary": Entry({"l2": "BoundaryAttack"}, **_UNTARGETED, steps=1000),
    "hopskipjump": Entry({"l2": "HopSkipJumpAttack", "linf": "HopSkipJumpAttack"}, **_UNTARGETED, steps=10),
    "spatial": Entry({"none": "SpatialAttack"}, kind="fixed", steps=0, alone=True),
    "gaussian_noise": Entry({"l2": "L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack"}, **_NOISE),
    "uniform_noise": Entry(
        {
            "linf": "LinfRepeatedAdditiveUniformNoiseAttack",
            "l2": "L2ClippingAwareRepeatedAdditiveUniformNoiseAttack",
        },
        **_NOISE,
    ),
    "salt_and_pepper": Entry({"l2": "SaltAndPepperNoiseAttack"}, **_UNTARGETED, steps=100),
    "blended_noise": Entry(
        {"l2": "LinearSearchBlendedUniformNoiseAttack", "linf": "LinearSearchBlendedUniformNoiseAttack"},
        **_UNTARGETED,
        steps=100,
    ),
    "autoattack": Entry(
        dict.fromkeys(("linf", "l2", "l1"), "callbacks.attack.foolbox_autoattack.AutoAttack"),
        targeted=False,
        steps=0,
        alone=True,
    ),
    # On the maps; success is a changed prediction here too, which the first avoids.
    "map_displacement": Entry({"linf": "callbacks.attack.foolbox_map_attacks.MapDisplacement"}, **_MAPS),
    "adaptive": Entry({"linf": "callbacks.attack.foolbox_map_attacks.Adaptive"}, **_MAPS),
}

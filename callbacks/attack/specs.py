"""What to attack with, as a configuration says it: plain names and dictionaries to checked specifications.

A specification is the name of an attack, such as "pgd", or a dictionary:

    name        a name of callbacks/attack/catalog.py; or instead of it
    class_path  the import path of a Foolbox attack, e.g. foolbox.attacks.L2BrendelBethgeAttack
    init_args   arguments of its class
    norm        linf, l2, l1 or l0
    epsilons    budgets: 1/255 of the pixel range for linf, pixel values for l2 and l1, a count of values for l0
    steps       iterations
    restarts    how many random starts a bounded attack has
    target      untargeted, a class (number of the backbone, or name of the data), least_likely or random
    label       what results call it
"""

import difflib
import inspect
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from callbacks.attack.catalog import CATALOG, DEFAULT_EPSILONS, UNIT_NAMES, Entry, Kind, Norm
from callbacks.attack.foolbox_library import find_class, foolbox, kind_of, norm_of

__all__ = ["AttackSpec", "find_target", "parse_attacks"]

KEYS = ("name", "class_path", "init_args", "norm", "epsilons", "steps", "restarts", "target", "label")
TARGETS = ("untargeted", "least_likely", "random")


@dataclass(frozen=True)
class AttackSpec:
    """One attack with everything that it needs.

    Args:
        label: what results call it, unlike all others.
        name: its name in the catalog, or its class path.
        attack: its class.
        arguments: what the class is made with.
        norm: the norm of its budgets.
        kind: "bounded", "minimal" or "fixed".
        epsilons: budgets in the norm's unit, ascending: where a bounded attack searches, and where the success of a
            minimal one is told.
        steps: iterations, 0 for none.
        restarts: random starts.
        target: "untargeted", "least_likely", "random", or a class by number or name.
        alone: whether it sees one image at a time.
        source: the backbone that its examples are made on, "" for the one that they are tried on.
    """

    label: str
    name: str
    attack: type[foolbox.Attack]
    arguments: dict[str, Any] = field(default_factory=dict)
    norm: Norm = "linf"
    kind: Kind = "bounded"
    epsilons: tuple[float, ...] = ()
    steps: int = 0
    restarts: int = 1
    target: int | str = "untargeted"
    alone: bool = False
    source: str = ""

    @property
    def budgets(self) -> tuple[float | None, ...]:
        """The budgets that it runs at, one after the other; None for a run without one."""
        return self.epsilons if self.kind == "bounded" else (None,)

    def pixels(self, epsilon: float) -> float:
        """A budget in pixel values of [0, 1] (for l0: a count)."""
        # The division is exact where the product with 1/255 is not.
        return epsilon / 255 if self.norm == "linf" else epsilon

    def describe(self) -> dict[str, Any]:
        """All that its examples depend on, as JSON can hold it."""
        plain = {name: str(value) for name, value in self.arguments.items()}
        others = ("name", "norm", "epsilons", "steps", "restarts", "target", "source")
        return {"arguments": plain} | {name: getattr(self, name) for name in others}

    def budget_name(self, epsilon: float | None) -> str:
        """How results call a budget: "4/255" in linf, "0.5" in l2 and l1, "30 values" in l0; without one, the kind."""
        return self.kind if epsilon is None else f"{epsilon:g}{UNIT_NAMES[self.norm]}"


def parse_attacks(
    attacks: Sequence[str | dict[str, Any]], epsilons: Sequence[float], steps: int
) -> tuple[AttackSpec, ...]:
    """Check and complete the attacks of a configuration.

    Args:
        attacks: names and dictionaries, as the module docstring says.
        epsilons: budgets of linf where a specification gives none, in 1/255.
        steps: iterations where neither a specification nor the catalog gives them.

    Raises:
        ValueError: if a name or key is unknown, a value is out of its range, or an attack cannot do what is asked.
    """
    specs = [_parse({"name": each} if isinstance(each, str) else dict(each), epsilons, steps) for each in attacks]
    for label, count in Counter(spec.label for spec in specs).items():
        if count > 1:
            raise ValueError(f"attack.attacks has {count} called '{label}': give each a 'label' of its own")
    return tuple(specs)


def find_target(target: int | str, names: Sequence[str], indices: Sequence[int] | None, classes: int) -> int | str:
    """Bring a target to the backbone's numbering: a class by name becomes its number.

    Args:
        target: of a specification.
        names: the data's class names; of several names with commas between them, each will do.
        indices: for each class of the data the backbone's, None if that is not known.
        classes: how many classes the backbone has.

    Raises:
        ValueError: if there is no such class, or names cannot be told.
    """
    if target in TARGETS:
        return target
    if isinstance(target, int):
        if target >= classes:
            raise ValueError(f"attack target {target} is out of range: the backbone has classes 0 to {classes - 1}")
        return target
    if indices is None:
        raise ValueError(
            f"attack target '{target}': the data's classes are not the backbone's: give the number of a class, 0 to "
            f"{classes - 1}"
        )
    called: dict[str, set[int]] = {}
    for index, name in zip(indices, names, strict=True):
        for each in (name, *name.split(",")):
            called.setdefault(each.strip().casefold(), set()).add(index)
    found = called.get(target.strip().casefold(), set())
    if len(found) != 1:
        several = f"fits classes {', '.join(map(str, sorted(found)))}" if found else "is no class of the data"
        raise ValueError(f"attack target '{target}' {several}{_near(target.casefold(), called)}")
    return found.pop()


def _parse(given: dict[str, Any], epsilons: Sequence[float], steps: int) -> AttackSpec:
    for key in given:
        if key not in KEYS:
            raise ValueError(f"attack.attacks: key '{key}' is unknown{_near(key, KEYS)}; there are {', '.join(KEYS)}")
    if ("name" in given) == ("class_path" in given):
        raise ValueError(f"attack.attacks: {given} must have either a 'name' or a 'class_path'")
    name = str(given.get("name", given.get("class_path")))
    if "name" in given and name not in CATALOG:
        raise ValueError(
            f"attack '{name}' is unknown{_near(name, CATALOG)}; there are {', '.join(CATALOG)}, and any other of "
            "Foolbox by class_path"
        )
    entry = CATALOG[name] if "name" in given else _describe(name, given.get("norm"))
    norm = given.get("norm", next(iter(entry.classes)))
    if norm not in entry.classes:
        raise ValueError(f"attack '{name}': norm '{norm}' is none of its own: {', '.join(entry.classes)}")
    attack = find_class(entry.classes[norm])
    restarts = _whole(name, "restarts", given.get("restarts", 1))
    target = _target(name, given.get("target", "untargeted"))
    if target != "untargeted" and not entry.targeted:
        able = [other for other, each in CATALOG.items() if each.targeted]
        raise ValueError(f"attack '{name}' cannot be aimed at a class (target '{target}'): {', '.join(able)} can")
    if restarts > 1 and not (entry.random_start or entry.alone):
        raise ValueError(f"attack '{name}' starts at the image itself, so {restarts} restarts would repeat it: give 1")
    init_args = dict(given.get("init_args", {}))
    count = _steps(name, given.get("steps"), init_args, entry, steps)
    made = _arguments(entry, attack, norm, count) | init_args
    _check_arguments(name, attack, made)
    budgets = _epsilons(name, given.get("epsilons"), norm, epsilons, entry.kind)
    label = str(given.get("label", _label(name, norm, entry, target)))
    if not re.fullmatch(r"[\w.-]+", label):
        raise ValueError(f"attack '{name}': label '{label}' may hold letters, digits, '_', '-' and '.' only")
    alone = entry.alone
    return AttackSpec(label, name, attack, made, norm, entry.kind, budgets, count, restarts, target, alone)


def _describe(class_path: str, norm: Norm | None) -> Entry:
    """What can be told of a class outside the catalog; since its randomness is unknown, it sees one image at a time."""
    attack = find_class(class_path)
    kind, own = kind_of(attack), norm_of(attack)
    if kind == "fixed":
        own = "none"
    elif own is None and norm not in ("linf", "l2", "l1", "l0"):
        raise ValueError(f"attack '{class_path}' minimises any norm: give its 'norm', linf, l2, l1 or l0")
    return Entry({own or norm: class_path}, kind, steps=0, alone=True)  # type: ignore[dict-item]


def _target(name: str, target: Any) -> int | str:
    if isinstance(target, bool) or not isinstance(target, int | str) or (isinstance(target, int) and target < 0):
        raise ValueError(
            f"attack '{name}': target {target!r} must be one of {', '.join(TARGETS)}, the number of a class from 0, or "
            "its name"
        )
    return target


def _steps(name: str, given: Any, init_args: dict[str, Any], entry: Entry, shared: int) -> int:
    if entry.steps_argument in init_args:
        return _whole(name, "steps", init_args[entry.steps_argument])
    if given is not None:
        if entry.steps == 0 and name in CATALOG:
            raise ValueError(f"attack '{name}' takes no steps: leave 'steps' out")
        return _whole(name, "steps", given)
    return shared if entry.steps is None else entry.steps


def _whole(name: str, what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"attack '{name}': {what} is {value!r}: it must be a whole number from 1")
    return value


def _epsilons(name: str, given: Any, norm: Norm, shared: Sequence[float], kind: Kind) -> tuple[float, ...]:
    if given is None:
        given = shared if norm == "linf" else DEFAULT_EPSILONS[norm]
    if not isinstance(given, Sequence) or isinstance(given, str) or (kind == "bounded" and not given):
        raise ValueError(f"attack '{name}': epsilons {given!r} must be a list of numbers")
    if norm == "none" and given:
        raise ValueError(f"attack '{name}' has no norm, so it takes no epsilons: set its limits in 'init_args'")
    top = 255 if norm == "linf" else math.inf
    for epsilon in given:
        if not isinstance(epsilon, int | float) or not 0 < epsilon <= top or math.isinf(epsilon):
            limit = "1/255 and lie in (0, 255]" if norm == "linf" else "pixel values and lie above 0"
            raise ValueError(f"attack '{name}': epsilons has {epsilon}: budgets are in units of {limit}")
    return tuple(sorted(set(map(float, given))))


def _arguments(entry: Entry, attack: type[foolbox.Attack], norm: Norm, steps: int) -> dict[str, Any]:
    found = dict(entry.settings)
    if steps:
        found[entry.steps_argument] = steps
    if entry.stepsize is not None:
        found["rel_stepsize"] = entry.stepsize / steps
    known = inspect.signature(attack).parameters
    if "distance" in known:
        found["distance"] = getattr(foolbox.distances, norm)
    if "constraint" in known:
        found["constraint"] = norm
    return found


def _check_arguments(name: str, attack: type[foolbox.Attack], arguments: dict[str, Any]) -> None:
    known = inspect.signature(attack).parameters
    for argument in arguments:
        if argument not in known:
            near = _near(argument, known) or f": there are {', '.join(known) or 'none'}"
            raise ValueError(f"attack '{name}' has no argument '{argument}'{near}")
    try:
        attack(**arguments)
    except (TypeError, ValueError, AssertionError, NotImplementedError, ImportError) as error:
        raise ValueError(f"attack '{name}' cannot be made with {arguments}: {error}") from None


def _label(name: str, norm: Norm, entry: Entry, target: int | str) -> str:
    own = next(iter(entry.classes))
    parts = [name.rpartition(".")[2], *([norm] if norm != own else [])]
    if target != "untargeted":
        parts.append(str(target) if target in TARGETS else "to_" + re.sub(r"[^\w.-]+", "_", str(target)))
    return "_".join(parts)


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=3)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""

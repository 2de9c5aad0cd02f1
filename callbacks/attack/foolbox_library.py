"""Foolbox as it is imported here: its one deprecation silenced, its classes found by name, some of them corrected."""

import difflib
import importlib
import warnings

import torch

with warnings.catch_warnings():
    # Foolbox 3.3.4 imports a namespace that SciPy deprecates; scipy<2 keeps it alive.
    warnings.filterwarnings("ignore", "Please import `.*` from the `scipy.ndimage` namespace", DeprecationWarning)
    import eagerpy
    import foolbox

from callbacks.attack.catalog import Kind, Norm

__all__ = ["eagerpy", "find_class", "foolbox", "kind_of", "norm_of"]


# Before FMN has found anything, it steps right onto the linearised boundary, where rounding decides the class: here
# each step goes beyond it by this share of its length. And steps are brought into the bounds of the pixels before they
# are projected, not after, which on images with black or white in them stopped short of the boundary for ever.
OVERSHOOT = 1e-4


class L1FMN(foolbox.attacks.L1FMNAttack):
    """Foolbox's FMN in L1, which crosses boundaries."""

    def project(self, x: eagerpy.Tensor, x0: eagerpy.Tensor, epsilon: eagerpy.Tensor) -> eagerpy.Tensor:
        return super().project(x.clip(0, 1), x0, epsilon * (1 + OVERSHOOT))


class LInfFMN(foolbox.attacks.LInfFMNAttack):
    """Foolbox's FMN in Linf, which crosses boundaries."""

    def project(self, x: eagerpy.Tensor, x0: eagerpy.Tensor, epsilon: eagerpy.Tensor) -> eagerpy.Tensor:
        return super().project(x, x0, epsilon * (1 + OVERSHOOT))


class L2FMN(foolbox.attacks.L2FMNAttack):
    """Foolbox's FMN in L2 with a projection: that of 3.3.4 multiplies by norm / norm, so it never shrinks a step."""

    def project(self, x: eagerpy.Tensor, x0: eagerpy.Tensor, epsilon: eagerpy.Tensor) -> eagerpy.Tensor:
        step = (x.clip(0, 1) - x0).raw
        norms = step.flatten(1).norm(dim=1).clamp(min=1e-12)
        factor = ((1 + OVERSHOOT) * epsilon.raw / norms).clamp(max=1)
        return x0 + eagerpy.astensor(step * factor.view(-1, 1, 1, 1))


class L0FMN(foolbox.attacks.L0FMNAttack):
    """Foolbox's FMN in L0 with a projection that keeps epsilon values: 3.3.4's keeps one more, or fails at all."""

    def project(self, x: eagerpy.Tensor, x0: eagerpy.Tensor, epsilon: eagerpy.Tensor) -> eagerpy.Tensor:
        step = (x.clip(0, 1) - x0).raw
        order = step.flatten(1).abs().argsort(dim=1, descending=True, stable=True)
        kept = torch.zeros_like(order, dtype=torch.bool)
        kept.scatter_(1, order, torch.arange(order.shape[1], device=order.device) < epsilon.raw.view(-1, 1))
        return x0 + eagerpy.astensor(step * kept.view_as(step))


CORRECTED = {"L0FMNAttack": L0FMN, "L1FMNAttack": L1FMN, "L2FMNAttack": L2FMN, "LInfFMNAttack": LInfFMN}


def find_class(path: str) -> type[foolbox.Attack]:
    """Find an attack.

    Args:
        path: a class of `foolbox.attacks` by its bare name, or a dotted import path.

    Returns:
        The class, in a corrected form where Foolbox's is wrong.

    Raises:
        ValueError: if there is none, or it is no attack.
    """
    module_name, _, name = path.rpartition(".")
    module_name = module_name or "foolbox.attacks"
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"attack '{path}': there is no module '{module_name}' ({error})") from None
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, foolbox.Attack)):
        known = [known for known, value in vars(module).items() if isinstance(value, type)]
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ": give a subclass of foolbox.Attack"
        raise ValueError(f"attack '{path}': '{name}' is no attack of '{module_name}'{hint}")
    return CORRECTED.get(name, found) if found.__module__.startswith("foolbox.") else found


def kind_of(attack: type[foolbox.Attack]) -> Kind:
    """Whether an attack is bounded by an epsilon, minimises a norm, or neither."""
    base = foolbox.attacks.base
    if issubclass(attack, base.FixedEpsilonAttack):
        return "bounded"
    return "minimal" if issubclass(attack, base.MinimizationAttack) else "fixed"


def norm_of(attack: type[foolbox.Attack]) -> Norm | None:
    """The norm that an attack's class names, None if only its instances know it."""
    names: dict[float, Norm] = {0: "l0", 1: "l1", 2: "l2", float("inf"): "linf"}
    return names.get(getattr(getattr(attack, "distance", None), "p", None))  # type: ignore[arg-type]

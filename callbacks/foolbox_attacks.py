"""Foolbox inside Lightning, wrapped thinly: adversarial images within a Linf budget, and their matched noise control.

Images are (B, 3, H, W) float32 in [0, 1] and budgets are in those pixel units. Foolbox has no seed argument; all
randomness here derives from (seed, sample id), so that an example does not depend on its batch, order or process.
"""

import warnings
from collections.abc import Sequence
from typing import Literal, assert_never

import numpy as np
import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    # Foolbox 3.3.4 imports a namespace that SciPy deprecates; scipy<2 keeps it alive.
    warnings.filterwarnings("ignore", "Please import `.*` from the `scipy.ndimage` namespace", DeprecationWarning)
    import eagerpy
    import foolbox

__all__ = ["AttackName", "linf_attack", "sign_noise"]

AttackName = Literal["fgsm", "pgd"]
START, CONTROL = 0, 1  # independent streams of noise


def linf_attack(
    backbone: nn.Module,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    name: AttackName,
    epsilon: float,
    steps: int,
    seed: int,
) -> Tensor:
    """Search untargeted adversarial examples around images that the backbone classifies correctly.

    Works inside Lightning's `inference_mode`, in float32 whatever the precision, and leaves no gradients behind.

    Args:
        backbone: images in [0, 1] -> logits (B, classes); it must be in eval mode throughout.
        images: (B, 3, H, W).
        labels: (B,) the classes to get away from, as the backbone numbers them.
        ids: (B,) sample ids.
        name: "fgsm" (one step of the gradient's sign) or "pgd" (projected gradient descent from a random start).
        epsilon: Linf budget in pixel units.
        steps: gradient steps of PGD, each of 2.5 epsilon / steps.
        seed: with the sample id, what random starts depend on.

    Returns:
        (B, 3, H, W), at most epsilon from the images and inside [0, 1]; successful or not.

    Raises:
        RuntimeError: if a part of the backbone is in training mode.
    """
    if training := [part for part, module in backbone.named_modules() if module.training]:
        raise RuntimeError(
            f"'{training[0] or 'the backbone'}' is in training mode: attacks need all of it in eval mode"
        )
    attack: foolbox.Attack
    match name:
        case "fgsm":
            attack = foolbox.attacks.LinfFastGradientAttack()
        case "pgd":
            attack = _SeededPGD(ids, seed, steps)
        case _:
            assert_never(name)
    # Inference tensors cannot enter autograd, so images and labels are cloned outside inference mode.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        model = foolbox.PyTorchModel(backbone, bounds=(0, 1), device=images.device)  # None would mean cuda:0
        criterion = foolbox.criteria.Misclassification(labels.clone())
        _, clipped, _ = attack(model, images.clone().float(), criterion, epsilons=epsilon)
    return clipped.detach()


def sign_noise(images: Tensor, linf: Tensor, ids: Tensor, seed: int) -> Tensor:
    """Add random-sign noise of a given Linf norm: the control for an Linf attack of the same realised norm.

    A sign that would leave [0, 1] is turned around where the other side has room, so that clipping does not shrink it.

    Args:
        images: (B, 3, H, W) in [0, 1].
        linf: (B,) realised norms of the adversarial perturbations.
        ids: (B,) sample ids.
        seed: with the sample id, what the signs depend on.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    size = linf.view(-1, 1, 1, 1)
    step = torch.where(_uniform(images.shape[1:], ids, seed, CONTROL).to(images) < 0, -size, size)
    leaves = (images + step < 0) | (images + step > 1)
    return (images + torch.where(leaves, -step, step)).clamp(0, 1)


class _SeededPGD(foolbox.attacks.LinfProjectedGradientDescentAttack):
    """Foolbox's PGD with a random start for each sample id instead of the global generator's."""

    def __init__(self, ids: Tensor, seed: int, steps: int) -> None:
        super().__init__(rel_stepsize=2.5 / steps, steps=steps)
        self.ids = ids
        self.seed = seed

    def get_random_start(self, x0: eagerpy.Tensor, epsilon: float) -> eagerpy.Tensor:
        return x0 + eagerpy.astensor(epsilon * _uniform(x0.shape[1:], self.ids, self.seed, START).to(x0.raw))


def _uniform(shape: Sequence[int], ids: Tensor, seed: int, stream: int) -> Tensor:
    """Uniform numbers in [-1, 1) for each sample, (B, *shape) float32 on the CPU."""
    generators = (np.random.default_rng((seed, stream, number)) for number in ids.tolist())
    return torch.from_numpy(np.stack([2 * g.random(tuple(shape), np.float32) - 1 for g in generators]))

"""Foolbox inside Lightning, wrapped thinly: adversarial images of one specification, at one budget.

Images are (B, 3, H, W) float32 in [0, 1] and budgets are in those pixel units. Foolbox has no seed argument; all
randomness here derives from (seed, sample id, restart), so that an example does not depend on its batch, order or
process.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from callbacks.attack.catalog import Norm
from callbacks.attack.foolbox_library import eagerpy, foolbox
from callbacks.attack.specs import AttackSpec

__all__ = ["run_attack", "uniform"]

START, ALONE = 0, 2  # independent streams of randomness; noise.py has others
Search = Callable[[Tensor, Tensor, int], Tensor]  # from images, the indices of theirs in the batch, and the restart


def run_attack(
    backbone: nn.Module,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    spec: AttackSpec,
    epsilon: float | None,
    seed: int,
    targets: Tensor | None = None,
    prepare: Callable[[foolbox.Attack, Tensor], None] | None = None,
) -> Tensor:
    """Search adversarial examples around images that the backbone classifies correctly.

    Works inside Lightning's `inference_mode`, in float32 whatever the precision, and leaves no gradients behind.

    Args:
        backbone: images in [0, 1] -> logits (B, classes); it must be in eval mode throughout.
        images: (B, 3, H, W).
        labels: (B,) the classes to get away from, as the backbone numbers them.
        ids: (B,) sample ids.
        spec: the attack.
        epsilon: one of the specification's budgets, in its own unit.
        seed: with the sample id, what randomness depends on.
        targets: (B,) the classes to reach, for a targeted attack.
        prepare: told of the attack and the clean images before each run, for attacks on maps.

    Returns:
        (B, 3, H, W) in [0, 1], at most epsilon from the images, successful or not; of an attack for the least norm that
        found nothing, the image itself.

    Raises:
        RuntimeError: if a part of the backbone is in training mode.
        ValueError: if Foolbox refuses the target.
    """
    if training := [part for part, module in backbone.named_modules() if module.training]:
        raise RuntimeError(
            f"'{training[0] or 'the backbone'}' is in training mode: attacks need all of it in eval mode"
        )
    # Inference tensors cannot enter autograd, so images and labels are cloned outside inference mode.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        images = images.clone(memory_format=torch.channels_last).float()
        goals = (labels if targets is None else targets).clone()
        make = foolbox.criteria.Misclassification if targets is None else foolbox.criteria.TargetedMisclassification
        model = foolbox.PyTorchModel(backbone, bounds=(0, 1), device=images.device)  # None would mean cuda:0

        def succeeds(found: Tensor, rows: Tensor) -> Tensor:
            with torch.no_grad():
                return make(goals[rows])(found, model(found))

        def search(clean: Tensor, rows: Tensor, restart: int) -> Tensor:
            attack: Any = spec.attack(**spec.arguments)
            if getattr(attack, "random_start", False) and not spec.alone:
                attack.get_random_start = _starts(spec.norm, ids[rows], seed, restart)
            if prepare is not None:
                prepare(attack, clean)
            return _search(attack, model, clean, make(goals[rows]), spec, epsilon)

        chosen = _one_by_one(search, succeeds, ids, seed) if spec.alone else search
        found = chosen(images, torch.arange(len(images), device=images.device), 0)
        for restart in range(1, spec.restarts):
            _improve(found, images, chosen, succeeds, spec, restart)
        if spec.kind == "minimal":  # where nothing was found there is no norm: what some attacks return then is noise
            nothing = ~succeeds(found, torch.arange(len(images), device=images.device))
            found = torch.where(nothing.view(-1, 1, 1, 1), images, found)
    return found.detach()


def uniform(shape: Sequence[int], ids: Tensor, seed: int, stream: int, restart: int = 0) -> Tensor:
    """Uniform numbers in [-1, 1) for each sample, (B, *shape) float32 on the CPU."""
    generators = (np.random.default_rng((seed, stream, number, restart)) for number in ids.tolist())
    return torch.from_numpy(np.stack([2 * g.random(tuple(shape), np.float32) - 1 for g in generators]))


def _search(
    attack: Any,
    model: foolbox.Model,
    images: Tensor,
    criterion: foolbox.Criterion,
    spec: AttackSpec,
    epsilon: float | None,
) -> Tensor:
    """Run a Foolbox attack once. Its `__call__` would classify the result again, and keep an unclipped copy of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch deprecates, means over nothing; the backbone has run before
        try:
            if epsilon is not None:
                pixels = spec.pixels(epsilon)
                found = attack.run(model, images, criterion, epsilon=pixels)
                found = attack.distance.clip_perturbation(images, found, pixels)
            else:
                found = attack.run(model, images, criterion)
        except ValueError as error:
            if "unsupported criterion" in str(error):
                raise ValueError(f"attack '{spec.name}' cannot be aimed at a class: leave 'target' out") from None
            if "init_attack failed" in str(error):  # no starting point, so nothing found
                return images
            raise
    found = found.detach().clamp(0, 1)
    # Searches over a constant return black images where they find nothing, DDN divides by a gradient of 0.
    nothing = (found == 0).flatten(1).all(1) | ~found.isfinite().flatten(1).all(1)
    return torch.where(nothing.view(-1, 1, 1, 1), images, found)


def _one_by_one(search: Search, succeeds: Callable[[Tensor, Tensor], Tensor], ids: Tensor, seed: int) -> Search:
    """The search, one image at a time, with the global generators seeded by its id and put back afterwards."""

    def search_each(clean: Tensor, rows: Tensor, restart: int) -> Tensor:
        found = clean.clone()
        for place, row in enumerate(rows.tolist()):
            one = slice(place, place + 1)
            if not succeeds(clean[one], rows[one]).item():  # else black-box searches would never end
                with _seeded(clean.device, seed, int(ids[row]), restart):
                    found[one] = search(clean[one], rows[one], restart)
        return found

    return search_each


def _improve(
    found: Tensor,
    images: Tensor,
    search: Search,
    succeeds: Callable[[Tensor, Tensor], Tensor],
    spec: AttackSpec,
    restart: int,
) -> None:
    """Start again, and keep what is better: success, and for the least norm success by a smaller one."""
    everything = torch.arange(len(images), device=images.device)
    good = succeeds(found, everything)
    rows = everything if spec.kind == "minimal" else everything[~good]
    if not len(rows):
        return
    again = search(images[rows], rows, restart)
    better = succeeds(again, rows)
    if spec.kind == "minimal":
        norm = getattr(foolbox.distances, spec.norm)
        better &= ~good | (norm(images, again) < norm(images, found))
    found[rows[better]] = again[better]


def _starts(norm: Norm, ids: Tensor, seed: int, restart: int) -> Callable[[eagerpy.Tensor, float], eagerpy.Tensor]:
    """Foolbox's random start, uniform in the ball of the norm, from each sample's own generator."""

    def start(x0: eagerpy.Tensor, epsilon: float) -> eagerpy.Tensor:
        shape = x0.shape[1:]
        if norm == "linf":
            step = uniform(shape, ids, seed, START, restart)
        else:
            generators = [np.random.default_rng((seed, START, number, restart)) for number in ids.tolist()]
            step = torch.stack([_in_ball(norm, shape, generator) for generator in generators])
        return x0 + eagerpy.astensor(epsilon * step.to(x0.raw))

    return start


def _in_ball(norm: Norm, shape: Sequence[int], generator: np.random.Generator) -> Tensor:
    """A point drawn uniformly from the unit ball of l2 or l1: a direction by its sphere's law, a radius u^(1/d)."""
    draw = generator.standard_normal if norm == "l2" else generator.laplace
    point = draw(size=tuple(shape))
    length = np.sqrt(np.square(point).sum()) if norm == "l2" else np.abs(point).sum()
    return torch.from_numpy(np.float32(point / length * generator.random() ** (1 / point.size)))


@contextmanager
def _seeded(device: torch.device, seed: int, number: int, restart: int) -> Iterator[None]:
    """Seed torch's and numpy's global generators, and put them back afterwards."""
    state = np.random.get_state()
    words = np.random.SeedSequence((seed, ALONE, number, restart)).generate_state(2, np.uint32)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(int(words[0]))
        if device.type == "cuda":
            torch.cuda.manual_seed(int(words[0]))
        np.random.seed(words)
        try:
            yield
        finally:
            np.random.set_state(state)

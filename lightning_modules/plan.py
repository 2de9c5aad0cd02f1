"""What a command will cost: `--plan` prints it and runs nothing. docs/scaling.md derives the formulas.

Counts of operations are of multiplications and additions (a product of (n, m) and (m, k) has 2nmk), by
torch.utils.flop_counter. Seconds come from rates that are measured on this machine for about three seconds.
"""

import copy
import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from codes.store_files import size_text
from lightning_modules.code_som import CodeSOM
from som import SelfOrganizingMap

__all__ = ["Costs", "Rates", "attack_passes", "describe_plan", "measure_costs", "workers"]

IMAGES = 64  # at most so many are forwarded together, as in a pass that fills a store


@dataclass(frozen=True)
class Costs:
    """What one image costs, whatever the machine.

    Attributes:
        forward: operations of the backbone.
        maps: operations of a training step of all maps.
        dimensions: code dimensions by depth.
        backbone: bytes of its weights.
        prototypes: bytes of those of all maps.
    """

    forward: float
    maps: float
    dimensions: Mapping[str, int]
    backbone: int
    prototypes: int


@dataclass(frozen=True)
class Rates:
    """Images a second of one process: decoded by all its workers, forwarded, and taught to all maps."""

    decoding: float
    forward: float
    maps: float


def measure_costs(module: CodeSOM, side: int, batch: int, decoding: float, seconds: float = 1.0) -> tuple[Costs, Rates]:
    """Count operations and measure rates on the module's device.

    Args:
        module: the module; its maps stay as they are.
        side: of the images, in pixels.
        batch: images of a step of one process, on which the maps' operations depend.
        decoding: images a second that all workers of a process decode.
        seconds: how long each measurement tries.
    """
    extractor, device = module.extractor, module.device
    images = torch.rand(min(batch, IMAGES), 3, side, side, device=device)
    codes = {depth: torch.randn(batch, size, device=device) for depth, size in extractor.dimensions.items()}
    maps = [(_started(som, codes[depth]), codes[depth]) for depth, som in module.maps.items()]
    sigma = module.sigma(0.0)

    def forward(count: int) -> None:
        with torch.no_grad():
            extractor(images[:count])

    def learn() -> None:
        for som, values in maps:
            som.energy(values, sigma)[0].backward()

    costs = Costs(
        forward=_operations(lambda: forward(1)),
        maps=_operations(learn) / batch,
        dimensions=extractor.dimensions,
        backbone=_bytes(extractor.backbone),
        prototypes=sum(_bytes(som) for som in module.maps.values()),
    )
    forwarded = len(images) / _seconds(lambda: forward(len(images)), device, seconds)
    return costs, Rates(decoding, forwarded, batch / _seconds(learn, device, seconds))


def attack_passes(attacks: Sequence[str | Mapping[str, Any]], epsilons: Sequence[float], steps: int) -> int:
    """Count the passes of an attacked image through the backbone.

    A gradient step is two: there, and back to the pixels. Each budget adds one for the example and two for its
    controls, and the stage two for the clean image. Attacks that do not step towards a budget are counted as if they
    did.

    Example:
        >>> attack_passes(["fgsm", "pgd"], [1, 2, 4], steps=10)
        86
    """
    passes = 2
    for attack in attacks:
        own: Mapping[str, Any] = {"name": attack} if isinstance(attack, str) else attack
        taken = 1 if own.get("name") == "fgsm" else own.get("steps") or steps
        passes += len(own.get("epsilons") or epsilons) * (2 * taken * (own.get("restarts") or 1) + 3)
    return passes


def describe_plan(
    costs: Costs,
    rates: Rates,
    images: Mapping[str, int],
    settings: Mapping[str, Any],
    processes: int,
    stages: Collection[str],
) -> str:
    """Write the plan of a run.

    Args:
        costs: of an image.
        rates: of one process.
        images: their numbers: "train", "val" and "attack".
        settings: the configuration, as parsed.
        processes: how many share the work; each is taken to be as fast as this one.
        stages: which of "extract", "fit", "analyse" and "attack" run; a store is filled for those that need it.
    """
    train, val, attacked = (images.get(name, 0) for name in ("train", "val", "attack"))
    stored, epochs = settings["store"] is not None, max(0, settings["trainer"]["max_epochs"] or 0)
    width = 2 if settings["store_dtype"] == "float16" else 4
    by_depth = {depth: (train + val) * size * width for depth, size in costs.dimensions.items()}
    place = Path(settings["store"] or settings["trainer"]["default_root_dir"] or ".").absolute()
    free = shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.exists())).free
    attack = settings["attack"]
    passes = attack_passes(attack["attacks"], attack["epsilons"], attack["steps"])
    batch = settings["data"]["batch_size"]
    looked = min(rates.decoding, rates.forward)  # images a second that come out of the backbone
    each = rates.maps if stored else min(looked, rates.maps)
    seconds = {
        "extract": (train + val) / looked,
        "fit": epochs * (train + val) / each,
        "analyse": (val + train * settings["analysis"]["train_pass"]) / each,
        "attack": attacked * passes / rates.forward,
    }
    run = {*stages, *(("extract",) if stored and not {"fit", "analyse"}.isdisjoint(stages) else ())}
    slowest = {rates.decoding: "decoding", rates.forward: "the backbone", rates.maps: "the maps"}[
        min(looked, rates.maps)
    ]
    codes = "  ".join(f"{depth} {size:,} x {size_text(by_depth[depth])}" for depth, size in costs.dimensions.items())
    lines = {
        "images": f"{train:,} to fit, {val:,} to validate, {attacked:,} to attack",
        "codes": f"{codes}: {size_text(sum(by_depth.values()))} of {settings['store_dtype']}"
        + ("" if stored else ", if they were stored (--store DIR)"),
        "disk": f"{size_text(free)} free at '{place}'",
        "backbone": f"{_count(costs.forward)} an image, {_count(costs.forward * (train + val))} a pass over all",
        "maps": f"{_count(costs.maps)} an image, {_count(costs.maps * train)} an epoch",
        "attacks": f"{passes:,} passes an image, {_count(costs.forward * passes * attacked)}",
        "memory": f"backbone {size_text(costs.backbone)}, maps and their gradients {size_text(2 * costs.prototypes)}, "
        f"codes of a batch {size_text(4 * batch // processes * sum(costs.dimensions.values()))}, beside activations",
        "rates here": f"{rates.decoding:,.0f} images/s decoded, {rates.forward:,.0f} through the backbone, "
        f"{rates.maps:,.0f} codes/s learnt by all maps",
        f"on {processes} process{'es' * (processes > 1)}": ", ".join(
            f"{stage} {_duration(time / processes)}" for stage, time in seconds.items() if stage in run
        )
        + f"; {slowest} is the slowest part of a pass",
    }
    widest = max(map(len, lines))
    return "\n".join(f"{name:<{widest}}  {text}" for name, text in lines.items())


def workers(asked: int) -> int:
    """How many processes decode at once: no more than there are cores; 0 decodes in the training process."""
    return max(1, min(asked, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def _started(som: SelfOrganizingMap, codes: torch.Tensor) -> SelfOrganizingMap:
    som = copy.deepcopy(som)
    if som.standardiser is not None:
        som.standardiser.update(codes)
    som.initialise(codes, "random", torch.Generator().manual_seed(0))
    return som


def _operations(work: Callable[[], None]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _seconds(work: Callable[[], None], device: torch.device, least: float) -> float:
    """Mean seconds of a call, the first left out."""
    work()
    count, start = 0, _now(device)
    while (taken := _now(device) - start) < least or not count:
        work()
        count += 1
    return taken / count


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _bytes(module: torch.nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.parameters())


def _count(operations: float) -> str:
    for unit in ("", "k", "M", "G", "T", "P"):
        if operations < 999.5:
            return f"{operations:.3g} {unit}FLOP"
        operations /= 1000
    return f"{operations:.3g} EFLOP"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"

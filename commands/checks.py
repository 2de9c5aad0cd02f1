"""What `--plan` checks before it prints the plan: whether data, weights, disk and memory allow the run.

A check is an estimate where the run itself would be the only proof: a sample of the images is decoded, and the memory
of a pass and of a step of the maps is that which they just took.
"""

import os
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from codes.store_files import size_text
from datamodules import ImageData
from datamodules.decoding import why_unreadable
from lightning_modules import CodeSOM

__all__ = ["Check", "check_machine", "describe"]

TRIED = 64  # images of each split
ROW = 150  # bytes that a validation image leaves a depth, or an attacked one an attack and budget, at most


class Check(NamedTuple):
    """One thing that was looked at.

    Attributes:
        name: what.
        passes: whether the run can do with it.
        text: what was found.
    """

    name: str
    passes: bool
    text: str


def check_machine(
    data: ImageData, model: CodeSOM, images: Mapping[str, int], settings: Mapping[str, Any]
) -> list[Check]:
    """Look at all that a run needs, once a pass and a step of its maps have been tried.

    Args:
        data: the images, listed or not.
        model: the module.
        images: their numbers: "train", "val" and "attack".
        settings: the configuration, as parsed.
    """
    backbone = model.extractor.backbone
    weights = f"{backbone.name} with weights '{settings['model']['weights']}', SHA-256 {backbone.digest[:12]}"
    if settings["model"]["weights"] == "none":
        weights += ": random, a control"
    return [  # the weights are loaded by now: had they not been there, the command would have ended
        *(check_images(data, split) for split in data.listed().splits),
        Check("weights", True, weights),
        *check_disk(_folders(settings), model, images, settings["store_dtype"]),
        check_memory(model, data),
    ]


def check_images(data: ImageData, split: str) -> Check:
    """Decode a seeded sample of a split."""
    samples = data.listed().splits[split]
    positions = np.random.default_rng(0).permutation(len(samples))[:TRIED].tolist()
    reasons = dict(zip(positions, why_unreadable(samples, positions), strict=True))
    bad = {samples.name(position): reason for position, reason in reasons.items() if reason}
    text = f"{len(positions) - len(bad)} of {len(positions)} {split} images that were tried can be read"
    if bad:
        name, reason = next(iter(bad.items()))
        text += f"; '{name}' cannot: {reason}"
    return Check("data", len(bad) < len(positions) and not (bad and data.on_corrupt == "error"), text)


def check_disk(
    folders: Mapping[str, Path], model: CodeSOM, images: Mapping[str, int], dtype: str = "float32"
) -> list[Check]:
    """Hold what a run writes against what is free, by disk.

    Args:
        folders: where "runs" and, if there is one, the "store" lie.
        model: the module.
        images: their numbers: "train", "val" and "attack".
        dtype: of the store.
    """
    dimensions = sum(model.extractor.dimensions.values())
    prototypes = 4 * sum(som.prototypes.numel() for som in model.maps.values())
    needed = {
        "runs": 5 * prototypes + ROW * (images.get("val", 0) * len(model.maps) + images.get("train", 0)),
        "store": (images.get("train", 0) + images.get("val", 0)) * dimensions * (2 if dtype == "float16" else 4),
    }
    found = []
    for name, folder in folders.items():
        free = shutil.disk_usage(next(f for f in (folder, *folder.parents) if f.exists())).free
        text = f"{size_text(needed[name])} of {name} at '{folder}', where {size_text(free)} are free"
        found.append(Check("disk", needed[name] < free, text))
    return found


def check_memory(model: CodeSOM, data: ImageData) -> Check:
    """Hold what a pass and a step took, and what the decoding processes keep ready, against the memory of the machine.

    Of a GPU it only tells: a step that does not fit there has ended the command already.
    """
    if model.device.type == "cuda":
        _, total = torch.cuda.mem_get_info(model.device)
        taken = torch.cuda.max_memory_allocated(model.device)
        return Check("memory", True, f"{size_text(taken)} of the GPU's {size_text(total)} at the peak of a step")
    unit = 1 if sys.platform == "darwin" else 1024
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    ahead = data.num_workers * data.prefetch_factor * data.batch_size * 3 * data.preprocessing.crop**2
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{size_text(taken)} at the peak of a step and {size_text(ahead)} of images decoded ahead"
    return Check("memory", taken + ahead < total, f"{text}, of {size_text(total)}")


def describe(checks: Sequence[Check]) -> str:
    """Write the checks, a line each."""
    return "\n".join(f"{'ok ' if check.passes else 'NOT'}  {check.name:<7}  {check.text}" for check in checks)


def _folders(settings: Mapping[str, Any]) -> dict[str, Path]:
    trainer = settings["trainer"]
    logger = trainer["logger"]
    given = logger["init_args"] if logger and not isinstance(logger, bool | list) else {}
    runs = Path(given.get("save_dir") or trainer["default_root_dir"] or ".").absolute()
    return {"runs": runs} | ({"store": Path(settings["store"]).absolute()} if settings["store"] is not None else {})

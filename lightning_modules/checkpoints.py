"""What a checkpoint of CodeSOM holds beside Lightning's own, and whose checkpoints are refused.

The frozen backbone is named by the hyperparameters: a digest of its weights stands in for half a gigabyte of them.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.utilities import rank_zero_warn

from codes import Backbone

if TYPE_CHECKING:
    from lightning_modules.code_som import CodeSOM

__all__ = ["check_settings", "complete", "strip", "warn_if_unfinished"]

COUNTS = ("samples_seen", "samples_an_epoch", "samples_planned", "last_validated")
BACKBONE = "extractor."  # where the names of its weights begin


def strip(checkpoint: dict[str, Any], module: CodeSOM) -> None:
    """Leave the backbone out of a checkpoint that is about to be saved, and put the counts in."""
    state = checkpoint["state_dict"]  # the live one, which the caller keeps
    checkpoint["state_dict"] = {name: value for name, value in state.items() if not name.startswith(BACKBONE)}
    checkpoint["backbone_digest"] = module.extractor.backbone.digest
    checkpoint |= {name: getattr(module, name) for name in COUNTS}


def complete(checkpoint: dict[str, Any], module: CodeSOM) -> None:
    """Put the module's own backbone into a checkpoint that is about to be loaded, and take the counts.

    Raises:
        ValueError: if it is the checkpoint of another module, or of maps of another network's codes.
    """
    check_origin(checkpoint, module.extractor.backbone)
    for name in COUNTS:
        setattr(module, name, checkpoint[name])
    own = module.state_dict()
    checkpoint["state_dict"] |= {name: value for name, value in own.items() if name.startswith(BACKBONE)}


def check_origin(checkpoint: dict[str, Any], backbone: Backbone) -> None:
    """Refuse the checkpoint of another module, or of maps of another network's codes.

    Raises:
        ValueError: if it is one.
    """
    if "backbone_digest" not in checkpoint:
        raise ValueError("the file is no checkpoint of CodeSOM: give the last.ckpt of a fit")
    if checkpoint["backbone_digest"] != backbone.digest:
        raise ValueError(
            f"the checkpoint's maps were fit on codes of another network: the weights of '{backbone.name}' here "
            f"have digest {backbone.digest[:12]}, the checkpoint expects {checkpoint['backbone_digest'][:12]}; "
            "give the same backbone, weights and seed"
        )


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a file that is no checkpoint, or was made with other settings. Nothing in it is executed.

    Args:
        path: the file.
        settings: the model's, by name.

    Raises:
        FileNotFoundError: if it is no file.
        ValueError: if it is no checkpoint of plain types, or settings differ; the message names every one.
    """
    if not path.is_file():
        raise FileNotFoundError(f"--ckpt_path '{path}' is not a file: give a checkpoint, e.g. checkpoints/last.ckpt")
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")["hyper_parameters"]
    except (
        pickle.UnpicklingError,
        struct.error,
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        OSError,
        ValueError,
    ) as e:
        # A file that was cut short ends in any of these.
        raise ValueError(f"--ckpt_path '{path}' is no checkpoint of a fit, or is cut short: give its last.ckpt") from e
    differ = {
        "seed_everything" if key == "seed" else f"model.{key}": f"{value} here, {saved[key]} in the checkpoint"
        for key, value in settings.items()
        if key in saved and _plain(saved[key]) != _plain(value)
    }
    if differ:
        lines = "; ".join(f"{key} is {values}" for key, values in differ.items())
        raise ValueError(f"the settings do not fit --ckpt_path '{path}': {lines}. Give the checkpoint's values")


def _plain(value: Any) -> Any:
    """Tuples as lists: YAML knows no other, checkpoints do."""
    return list(value) if isinstance(value, tuple) else value


def warn_if_unfinished(seen: int, an_epoch: int, planned: int) -> None:
    """Say so where maps of an unfinished fit are measured.

    Args:
        seen: training samples seen.
        an_epoch: training samples of an epoch.
        planned: training samples of the whole fit.
    """
    if seen < planned:
        rank_zero_warn(
            f"these maps are of an unfinished fit: {seen / an_epoch:.3g} of {planned / an_epoch:.3g} epochs are done; "
            "fit --ckpt_path goes on with it"
        )

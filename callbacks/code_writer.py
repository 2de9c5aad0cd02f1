"""The extract stage: writes the vector codes of every image into a store (codes/store.py, docs/store.md)."""

from contextlib import suppress
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from callbacks.image_list import merge_images
from codes import Extraction
from lightning_modules import CodeSOM

__all__ = ["CodeWriter"]


class CodeWriter(Callback):
    """Streams the codes of a `Trainer.predict` over `PassData` into its store."""

    def __init__(self) -> None:
        self._data: Any = None

    @override
    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if getattr(data, "writer", None) is None:
            raise ValueError("CodeWriter fills the store of a pass: predict with datamodule=PassData(images, ...)")
        self._data = data
        if trainer.is_global_zero:
            for split, loader in self._data.loaders.items():
                merge_images(self._data.writer.part, split, loader.dataset, self._data.images)

    @override
    def on_predict_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: CodeSOM,
        outputs: Extraction,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        label: Tensor = batch["label"]
        self._data.writer.write(batch["batch"], outputs.codes, outputs.dead, batch["id"], label)

    @override
    def on_predict_end(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        data, self._data = self._data, None
        data.writer.close()
        trainer.strategy.barrier("codes written")
        if trainer.is_global_zero:
            data.writer.finish(data.classes, pl_module.extractor.channels, data.about())
        trainer.strategy.barrier("store finished")

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._data is not None:
            with suppress(OSError, ValueError):  # the exception says more
                self._data.writer.close()
            self._data = None

"""Draws the maps as they grow: pixel-exact images in TensorBoard, while fitting and after."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from typing_extensions import override

from callbacks.figures.layout import chosen_classes
from callbacks.map_drawing import class_strip, density_image, region_image
from lightning_modules import CodeSOM

__all__ = ["MapPictures"]

PICTURES = 9  # TensorBoard shows 10 pictures a tag: 9 while fitting, and the analysis unless it repeats the last


class MapPictures(Callback):
    """After a validation, draws for each depth where images land on its map.

    TensorBoard: `validate/density/<depth>`, `validate/regions/<depth>` (most frequent class) and
    `validate/bmus_by_class/<depth>` (up to 8 classes that have images, side by side).
    """

    def __init__(self) -> None:
        self._share = self._drawn = -1  # share of the epochs and step of a fit's last pictures
        self._validated: dict[int, int] = {}  # a fit's last validation: global step to step of its scalars

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"share": self._share, "drawn": self._drawn, "validated": self._validated}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._share, self._drawn, self._validated = (state_dict[name] for name in ("share", "drawn", "validated"))

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.ckpt_path is None:
            self._share = self._drawn = -1
            self._validated = {}

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        analysis = trainer.state.fn == "validate"
        step = trainer.fit_loop.epoch_loop._batches_that_stepped  # where Lightning puts the scalars
        if analysis:  # of the same maps as the fit's last validation, if it follows that
            step = self._validated.get(trainer.global_step, step)
        else:
            self._validated = {trainer.global_step: step}
        if not trainer.is_global_zero or not (analysis or self._due(trainer)):
            return
        lattice = pl_module.lattice
        hits = {
            depth: table.cpu().numpy().reshape(-1, lattice.rows, lattice.cols)
            for depth, table in pl_module.hits.items()
        }
        for logger in [] if analysis and step == self._drawn else trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for depth, each in hits.items():
                    self._log_images(logger, depth, each, pl_module.classes, step)
        if not analysis:
            self._drawn = step

    def _due(self, trainer: pl.Trainer) -> bool:
        """Whether this is the first validation in its share of the epochs, however often a fit validates."""
        share = PICTURES * trainer.current_epoch // max(1, trainer.max_epochs or 1)
        if trainer.sanity_checking or share == self._share:
            return False
        self._share = share
        return True

    @staticmethod
    def _log_images(logger: TensorBoardLogger, depth: str, hits: np.ndarray, classes: list[str], step: int) -> None:
        add = logger.experiment.add_image
        add(f"validate/density/{depth}", density_image(hits.sum(0)), step, dataformats="HWC")
        add(f"validate/regions/{depth}", region_image(hits), step, dataformats="HWC")
        if shown := chosen_classes(hits.sum((1, 2))):
            add(
                f"validate/bmus_by_class/{depth}",
                class_strip(hits[shown], [classes[label] for label in shown]),
                step,
                dataformats="HWC",
            )

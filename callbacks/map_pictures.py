"""Draws the maps as they grow: pixel-exact images in TensorBoard, while fitting and after."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from typing_extensions import override

from callbacks.captions import captioned
from callbacks.figures.layout import chosen_classes, first_name
from callbacks.figures.maps import LISTED
from callbacks.map_drawing import DENSEST, class_sheet, density_image, region_image
from callbacks.pictures import GROWTH, add_picture
from callbacks.style import class_colours
from lightning_modules import CodeSOM

__all__ = ["MapPictures", "growth_pictures"]

PICTURES = 9  # TensorBoard shows 10 pictures a tag: 9 while fitting, and the analysis unless it repeats the last


class MapPictures(Callback):
    """After a validation, draws for each depth where images land on its map.

    TensorBoard: `4_growth/density/<depth>`, `4_growth/regions/<depth>` (most frequent class) and
    `4_growth/bmus_by_class/<depth>` (up to 8 classes that have images).

    Args:
        pictures: whether any are drawn; a run that draws none keeps those of its checkpoint in mind.
    """

    def __init__(self, pictures: bool = True) -> None:
        self.pictures = pictures
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
        if not self.pictures or not trainer.is_global_zero or not (analysis or self._due(trainer)):
            return
        lattice = pl_module.lattice
        hits = {
            depth: table.cpu().numpy().reshape(-1, lattice.rows, lattice.cols)
            for depth, table in pl_module.hits.items()
        }
        for logger in [] if analysis and step == self._drawn else trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for depth, each in hits.items():
                    pictures = growth_pictures(depth, each, pl_module.classes, lattice.topology)
                    for tag, picture in pictures.items():
                        add_picture(logger.experiment, tag, picture, step)
        if not analysis:
            self._drawn = step

    def _due(self, trainer: pl.Trainer) -> bool:
        """Whether this is the first validation in its share of the epochs, however often a fit validates."""
        share = PICTURES * trainer.current_epoch // max(1, trainer.max_epochs or 1)
        if trainer.sanity_checking or share == self._share:
            return False
        self._share = share
        return True


def growth_pictures(depth: str, hits: np.ndarray, classes: Sequence[str], topology: str) -> dict[str, np.ndarray]:
    """Where images land on one map, three times: (H, W, 3) uint8 by tag.

    Args:
        depth: name of the depth.
        hits: (classes, rows, cols) counts.
        classes: class names, in label order; up to 20 are in the legend.
        topology: "torus" or "plane".
    """
    images, (rows, cols) = int(hits.sum()), hits.shape[1:]
    size = f"{rows} rows x {cols} columns{', opposite edges are neighbours' if topology == 'torus' else ''}."
    keys = list(zip(classes, class_colours(len(classes)), strict=True)) if len(classes) <= LISTED else []
    pictures = {
        f"{GROWTH}/density/{depth}": captioned(
            density_image(hits.sum(0)),
            f"{depth}: density of n = {images} images",
            size,
            ends=("no image", f"{DENSEST} times an even spread, or more"),
        ),
        f"{GROWTH}/regions/{depth}": captioned(
            region_image(hits),
            f"{depth}: most frequent class at each unit, n = {images}, {len(classes)} classes",
            f"{size} Paler = shared by classes; white = no image.",
            keys=keys,
        ),
    }
    if shown := chosen_classes(hits.sum((1, 2))):
        names = [f"{first_name(classes[label], 13)} (n = {hits[label].sum()})" for label in shown]
        pictures[f"{GROWTH}/bmus_by_class/{depth}"] = captioned(
            class_sheet(hits[shown], names),
            f"{depth}: where the images of {len(shown)} of {len(classes)} classes land",
            size,
            ends=("no image of the class", "all images of the class"),
        )
    return pictures

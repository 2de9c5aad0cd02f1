"""Keeps checkpoints/last.ckpt, which a run goes on from after a kill.

No epoch is "best", since a quantisation error falls as sigma shrinks: one file holds the last state. It is written
under another name, forced to the disk, and renamed: a kill or a power cut in mid-write leaves the one before.
"""

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from typing_extensions import override

from callbacks.run_folder import run_folder, sync

__all__ = ["LAST", "LastCheckpoint"]

LAST = Path("checkpoints") / "last.ckpt"


class LastCheckpoint(Checkpoint):
    """Writes checkpoints/last.ckpt after every epoch and its validation, and within an epoch every so many steps.

    Args:
        every_n_train_steps: steps between two checkpoints within an epoch; null writes none there.

    Raises:
        ValueError: if it is below 1.
    """

    def __init__(self, every_n_train_steps: int | None = 1000) -> None:
        if every_n_train_steps is not None and every_n_train_steps < 1:
            raise ValueError(f"checkpoint.every_n_train_steps is {every_n_train_steps}: give at least 1, or null")
        self.every_n_train_steps = every_n_train_steps

    @override
    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        every = self.every_n_train_steps
        # The last step of an epoch is saved with its end, from where Lightning goes on with the next one.
        if every and trainer.global_step % every == 0 and not trainer.is_last_batch:
            self._save(trainer)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = run_folder(trainer) / LAST
        part = path.with_name(f".{path.name}.part")
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.save()  # what was logged before the checkpoint is on the disk with it
        trainer.save_checkpoint(part, weights_only=False)
        if trainer.is_global_zero:
            sync(part)
            os.replace(part, path)
            sync(path.parent)

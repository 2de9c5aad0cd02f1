"""What CodeSOM asks of a Trainer: the settings under which a step is Kohonen's and a stage is whole, and its steps."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint, Timer

from som import Rule

__all__ = ["check_length", "check_trainer", "check_whole_epochs", "fit_steps"]

PRECISIONS = ("32-true", "bf16-mixed")
LIMITS = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}  # of which batches, by stage
LEAVE_OUT = {"validate": ", or leave 'analyse' out of --stages", "test": ", or leave 'attack' out of --stages"}


def check_trainer(trainer: pl.Trainer, rule: Rule = "gradient", stage: str = "fit") -> None:
    """Refuse settings that would change what is learnt, leave a stage without a step, or end in a traceback.

    Args:
        trainer: the trainer, before it runs.
        rule: how the maps are updated.
        stage: what it is about to run: "fit", "validate", "test" or "predict".

    Raises:
        ValueError: if a setting cannot be used; the message says what to do.
    """
    if trainer.precision not in PRECISIONS:
        raise ValueError(f"trainer.precision is {trainer.precision}: choose {' or '.join(PRECISIONS)}")
    if clip := trainer.gradient_clip_val:
        raise ValueError(f"trainer.gradient_clip_val is {clip}: clipping breaks Kohonen's rule, leave it out")
    if (batches := trainer.accumulate_grad_batches) != 1:
        raise ValueError(
            f"trainer.accumulate_grad_batches is {batches}: sigma would differ between the batches of a step, leave it "
            "out and raise data.batch_size"
        )
    if share := trainer.overfit_batches:  # type: ignore[attr-defined]
        raise ValueError(
            f"trainer.overfit_batches is {share}: it would replace the order of the images, use limit_train_batches"
        )
    if trainer.max_epochs == -1 and trainer.max_steps == -1:
        raise ValueError("trainer.max_epochs is -1: the schedules of sigma and alpha need it, or max_steps, to be set")
    if any(isinstance(callback, Timer) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        raise ValueError(
            "trainer.max_time is set: the schedules of sigma and alpha need a known end, use max_epochs or max_steps"
        )
    keepers = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    if rule != "gradient" and any(keeper._train_time_interval is not None for keeper in keepers):
        raise ValueError(
            f"checkpoint.train_time_interval is set: under rule '{rule}' Lightning never saves by time, use "
            "every_n_train_steps or every_n_epochs"
        )
    check_length(trainer, stage)


def check_length(trainer: pl.Trainer, stage: str) -> None:
    """Refuse settings that leave a stage without a step; those of other stages are theirs to refuse.

    Args:
        trainer: the trainer, before it runs.
        stage: "fit", "validate", "test" or "predict".

    Raises:
        ValueError: if the stage would do nothing; the message says what to do.
    """
    limit = f"limit_{LIMITS[stage]}_batches"
    if getattr(trainer, limit) == 0:
        raise ValueError(
            f"trainer.{limit} is 0, so {stage} would do nothing: give at least 1, or a share{LEAVE_OUT.get(stage, '')}"
        )
    if stage != "fit":
        return
    for name in ("max_epochs", "max_steps"):
        if getattr(trainer, name) == 0:
            raise ValueError(f"trainer.{name} is 0, so the maps would learn nothing: give at least 1")
    if (every := trainer.check_val_every_n_epoch) is not None and every < 1:
        raise ValueError(
            f"trainer.check_val_every_n_epoch is {every}: give at least 1; limit_val_batches 0 leaves the fit's "
            "validation out"
        )
    if trainer._val_check_time_interval is None and trainer.val_check_interval == 0:  # type: ignore[attr-defined]
        raise ValueError(
            "trainer.val_check_interval is 0: give a number of steps, at least 1, or a share of an epoch above 0.0"
        )


def check_whole_epochs(trainer: pl.Trainer) -> None:
    """Refuse a fit that ends within an epoch, for a rule that moves the maps at the end of each.

    Args:
        trainer: the trainer, once its training has started.

    Raises:
        ValueError: if `max_steps` is no whole number of epochs.
    """
    epoch = int(trainer.num_training_batches)
    if rest := fit_steps(trainer) % epoch:
        raise ValueError(
            f"trainer.max_steps is {trainer.max_steps}: rule 'batch' moves the maps once an epoch of {epoch} steps, so "
            f"the last {rest} would teach nothing; use max_epochs or a multiple of {epoch}"
        )


def fit_steps(trainer: pl.Trainer) -> int:
    """Count the steps of the whole fit: those of its epochs or `max_steps`, whichever end first.

    Args:
        trainer: the trainer, once its training has started.
    """
    ends = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        ends.append(trainer.max_epochs * int(trainer.num_training_batches))
    if trainer.max_steps >= 0:
        ends.append(trainer.max_steps)
    return min(ends)

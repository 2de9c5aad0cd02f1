"""Loaders: images become floating point where they are used, and a training loader resumes exactly.

Images leave the workers as 8-bit integers, a quarter of the bytes to copy between processes and to the device.
"""

import signal
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from datamodules.decoding import to_unit
from datamodules.samplers import ShuffleSampler

__all__ = ["ImageLoader", "Loader", "ResumableLoader", "TrainingLoader"]


class Loader(DataLoader):
    """A DataLoader whose workers are stopped by their process alone, not by the Ctrl-C that reaches them as well.

    Args:
        *args: a DataLoader's.
        **kwargs: a DataLoader's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"worker_init_fn": _leave_signals} | kwargs)


class ImageLoader(Loader):
    """A DataLoader whose batches are the project's: "image" (B, 3, H, W) float32 in [0, 1], on the device.

    Args:
        *args: a DataLoader's.
        device: where images become floating point; None for the CPU.
        **kwargs: a DataLoader's.
    """

    def __init__(self, *args: Any, device: torch.device | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.device = device

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            yield batch | {"image": to_unit(batch["image"].to(self.device, non_blocking=True))}


class ResumableLoader(Loader):
    """A loader over a `ShuffleSampler` with the `state_dict` protocol that Lightning checkpoints.

    After `load_state_dict` the next iteration goes on behind the last consumed batch if it is of the same epoch; all
    others are whole.
    """

    sampler: ShuffleSampler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._consumed = 0
        self._resume: tuple[int, int] | None = None  # epoch and first batch

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator starts at the first `next`, after Lightning has called `set_epoch`.
        epoch, first = self._resume or (0, 0)
        self._resume = None
        # Of another epoch: the saved one was over, be it by limit_train_batches, before the loader's end.
        first = first if epoch == self.sampler.epoch else 0
        self.sampler.first_batch = first
        try:
            for self._consumed, batch in enumerate(super().__iter__(), start=first + 1):
                yield batch
        finally:
            self.sampler.first_batch = 0

    def state_dict(self) -> dict[str, int]:
        """Return the current epoch and the number of batches consumed in it, on each process."""
        return {"epoch": self.sampler.epoch, "consumed": self._consumed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on behind `state["consumed"]` batches of epoch `state["epoch"]`; a finished epoch starts anew."""
        self._resume = state["epoch"], state["consumed"] % len(self)


class TrainingLoader(ResumableLoader, ImageLoader):
    """Training batches of images, resumable."""


def _leave_signals(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # forked, it has Lightning's, which only notes it

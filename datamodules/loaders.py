"""The training loader: a DataLoader that knows how many batches were consumed, so that a resume is exact."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from datamodules.samplers import ShuffleSampler

__all__ = ["ResumableLoader"]


class ResumableLoader(DataLoader):
    """A DataLoader over a `ShuffleSampler` with the `state_dict` protocol that Lightning checkpoints.

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

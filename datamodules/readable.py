"""Which images are taken: those that a draw asks for, and that can be read. Processes share the looking."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np
from torch import distributed

from datamodules.decoding import why_unreadable
from datamodules.samples import ImageSource, Samples, printable

__all__ = ["Corrupt", "OnCorrupt", "ReadableImages"]

OnCorrupt = Literal["skip", "error"]
Draw = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


class Corrupt(NamedTuple):
    """An image that cannot be decoded, and why."""

    name: str
    reason: str


class ReadableImages:
    """The images of a source that are not known to be unreadable; only those that a draw takes are decoded.

    Args:
        source: the images.
        on_corrupt: what an unreadable image does: "skip" leaves it out, "error" refuses the data.
    """

    def __init__(self, source: ImageSource, on_corrupt: OnCorrupt) -> None:
        self.source = source
        self.on_corrupt = on_corrupt
        self._usable = {split: np.ones(len(samples), bool) for split, samples in source.splits.items()}
        self._checked = {split: np.zeros(len(samples), bool) for split, samples in source.splits.items()}
        self._reasons: dict[str, dict[int, str]] = {split: {} for split in source.splits}

    def choose(self, splits: list[str], draw: Draw) -> dict[str, np.ndarray]:
        """Draw images until all that are drawn can be read. A collective, where processes run together.

        Args:
            splits: the splits that are drawn from.
            draw: gives positions by split, of those that it is told to be usable: a mask by split. What it takes of
                the same images should not depend on what is usable but for that.

        Returns:
            The positions, by split.

        Raises:
            ValueError: if an image cannot be read and `on_corrupt` is "error", or if none of a split can be read.
        """
        while True:
            drawn = draw({split: self._usable[split] for split in splits})
            if not sum(self._check(split, positions) for split, positions in drawn.items()):
                return drawn

    def corrupt(self, split: str) -> list[Corrupt]:
        """The images of a split that are known to be unreadable, in order."""
        samples = self.source.splits[split]
        return [
            Corrupt(printable(samples.name(place)), reason) for place, reason in sorted(self._reasons[split].items())
        ]

    def _check(self, split: str, positions: np.ndarray) -> int:
        """Decode what is not yet known to be readable; returns how many are not."""
        samples, reasons = self.source.splits[split], self._reasons[split]
        unknown = positions[~self._checked[split][positions]]
        bad = _unreadable(samples, unknown.tolist())
        self._checked[split][unknown] = True
        self._usable[split][list(bad)] = False
        reasons |= bad
        first = f"'{printable(samples.name(min(reasons)))}' ({reasons[min(reasons)]})" if reasons else ""
        if reasons and self.on_corrupt == "error":
            raise ValueError(
                f"{len(reasons)} of {len(samples)} images cannot be read, the first is {first}: mend or remove them, "
                "or set data.on_corrupt to 'skip'"
            )
        if reasons and not self._usable[split].any():
            raise ValueError(
                f"none of the {len(samples)} files can be read as an image, e.g. {first}: give a folder of images"
            )
        return len(bad)


def _unreadable(samples: Samples, places: list[int]) -> dict[int, str]:
    """By position why images cannot be read. Each is decoded by one process, and all are told."""
    together = distributed.is_available() and distributed.is_initialized()
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if together else (0, 1)
    mine = places[rank::world]
    reasons = zip(mine, why_unreadable(samples, mine), strict=True)
    found = {place: reason for place, reason in reasons if reason is not None}
    if world == 1:
        return found
    parts: list[dict[int, str]] = [{}] * world
    distributed.all_gather_object(parts, found)
    return {place: reason for part in parts for place, reason in part.items()}

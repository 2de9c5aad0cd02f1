"""What a source of images lists: the samples of each split as columns, and the names of the classes."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import pyarrow as pa

__all__ = [
    "SPLITS",
    "Encoded",
    "FilesBelow",
    "ImageSource",
    "Opener",
    "Samples",
    "file_state",
    "pack_names",
    "printable",
]

SPLITS = ("train", "val", "test")

# An image before decoding: its file, the file's bytes, or pixels (H, W, 3) uint8.
Encoded = Path | bytes | np.ndarray


class Opener(Protocol):
    """Gives the encoded image of an id and a name. Can be pickled."""

    def __call__(self, number: int, name: str) -> Encoded:
        """The image. Raises an OSError if it is not there."""
        ...

    def state(self, number: int, name: str) -> str:
        """What changes when the image does, as far as can be told without reading it."""
        ...


@dataclass(frozen=True)
class Samples:
    """The samples of a split, as columns: a million Python objects would be copied into every worker process.

    Args:
        ids: (N,) int64, stable: they change neither with a subset nor with what cannot be read.
        labels: (N,) int64, positions in the source's classes.
        names: (N,) what each image is called, mostly its path below data.root; made by `pack_names`.
        open: gives the encoded image of an id and a name.
    """

    ids: np.ndarray
    labels: np.ndarray
    names: pa.Array
    open: Opener

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, position: int) -> str:
        """What the image at a position is called."""
        return os.fsdecode(self.names[position].as_py())

    def printable_names(self) -> list[str]:
        """All names, with a question mark for each byte that is no Unicode."""
        return [printable(os.fsdecode(name)) for name in self.names.to_pylist()]

    def encoded(self, position: int) -> Encoded:
        """The image at a position, before decoding.

        Raises:
            OSError: if it is not there.
        """
        return self.open(int(self.ids[position]), self.name(position))

    def digest(self) -> str:
        """SHA-256 of every sample's id, label, name and state, in hex: it tells other images, without reading any."""
        digest = hashlib.sha256()
        for position, (number, label) in enumerate(zip(self.ids.tolist(), self.labels.tolist(), strict=True)):
            name = self.name(position)
            digest.update(os.fsencode(name) + f"\0{number} {label} {self.open.state(number, name)}\n".encode())
        return digest.hexdigest()

    def take(self, positions: np.ndarray) -> Self:
        """The samples at some positions, in their order."""
        return replace(self, ids=self.ids[positions], labels=self.labels[positions], names=self.names.take(positions))


@dataclass(frozen=True)
class ImageSource:
    """Where images come from, listed.

    Args:
        splits: the samples by split, a part of `SPLITS`.
        classes: the class names, in label order.
        wnids: the classes' WordNet ids, where they are known.
        left_out: by split, files that are no images by their names.
    """

    splits: dict[str, Samples]
    classes: list[str]
    wnids: list[str] | None = None
    left_out: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class FilesBelow:
    """Opens images whose names are paths below a folder."""

    root: Path

    def __call__(self, number: int, name: str) -> Path:
        """The file of a name."""
        return self.root / name

    def state(self, number: int, name: str) -> str:
        """The file's size and time of last change."""
        return file_state(self.root / name)


def file_state(path: Path) -> str:
    """A file's size in bytes and time of last change in nanoseconds, or that it cannot be had."""
    try:
        status = path.stat()
    except OSError:
        return "unreadable"
    return f"{status.st_size} {status.st_mtime_ns}"


def pack_names(names: Sequence[str]) -> pa.Array:
    """Names as one column, byte by byte as the file system has them: not every file name is Unicode."""
    return pa.array(map(os.fsencode, names), pa.large_binary())


def printable(name: str) -> str:
    """A name that can be written as UTF-8, as not every file's can."""
    return name.encode(errors="replace").decode()

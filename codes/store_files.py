"""Files that survive a power cut: arrays that are overwritten in place, and texts that are whole or not there."""

import math
import os
from pathlib import Path

import numpy as np


class ArrayFile:
    """An existing .npy file whose rows are overwritten.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        array = np.load(path, mmap_mode="r")
        self._start, self._type = array.offset, array.dtype
        self._row = math.prod(array.shape[1:]) * array.dtype.itemsize
        self._file = os.open(path, os.O_RDWR)

    def put(self, first: int, rows: np.ndarray) -> None:
        """Write rows (B, ...) from row ``first`` on.

        Raises:
            OSError: If the disk does not take all of them.
        """
        left = memoryview(np.ascontiguousarray(rows, self._type).data).cast("B")
        place = self._start + first * self._row
        while left:  # a single call may write a part
            count = os.pwrite(self._file, left, place)
            left, place = left[count:], place + count

    def sync(self) -> None:
        """Return once all that was put is on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def write_whole(path: Path, text: str) -> None:
    """Write a text file that is there whole or not at all, also after a power cut."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


def size_text(count: float) -> str:
    """Write a number of bytes with three digits.

    Example:
        >>> size_text(1_312_000_000)
        '1.31 GB'
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def sync_folder(folder: Path) -> None:
    """Return once the folder's own entries, names and renamings, are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

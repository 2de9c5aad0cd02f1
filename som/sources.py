"""Where a fit reads codes from: a tensor, an array, a memory-mapped file, or a DataLoader, a batch at a time.

Nothing here holds more than a batch of what it reads, so codes may be larger than memory.
"""

import math
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from som.checks import check_codes, check_shape
from som.tiles import rows_at_once

KEEP = 2**26  # bytes of a memory map that may stay in memory


class ArraySource:
    """Rows of a 2-D tensor or array, in any order.

    Attributes:
        samples: N.
        dimensions: D.

    Args:
        codes: (N, D) tensor, array or memory map of numbers.
        device: where batches go.
    """

    def __init__(self, codes: Tensor | np.ndarray, device: torch.device) -> None:
        self.codes, self.device = codes, device
        self.samples = len(codes)
        self.dimensions = int(codes.shape[1])
        self._chunk = rows_at_once(device, self.dimensions)
        self._file = _memory_map(codes)
        self._read = 0

    def take(self, rows: slice | Tensor) -> Tensor:
        """Codes (B, D) float32 of the rows, on the device."""
        if isinstance(self.codes, Tensor):
            if isinstance(rows, Tensor):
                rows = rows.to(self.codes.device)
            return self.codes[rows].to(self.device, torch.float32)
        part = self.codes[rows.numpy() if isinstance(rows, Tensor) else rows]
        batch = torch.from_numpy(np.array(part, dtype=np.float32)).to(self.device)
        self._forget(part.nbytes)
        return batch

    def batches(self, size: int | None = None, order: Tensor | None = None) -> Iterator[Tensor]:
        """Batches (B, D) of ``size`` rows, the last one shorter, in ``order`` (N,) or as they lie."""
        size = size or self._chunk
        for first in range(0, len(self.codes), size):
            yield self.take(slice(first, first + size) if order is None else order[first : first + size])

    def check(self) -> None:
        """Refuse codes that a map cannot take, naming the row."""
        for position, batch in enumerate(self.batches()):
            check_codes(batch, first=position * self._chunk)

    def pool(self, size: int, generator: Generator) -> Tensor:
        """Codes of ``size`` rows drawn without replacement, or of all rows if they are fewer."""
        order = torch.randperm(len(self.codes), generator=generator)[:size]
        codes = torch.empty(len(order), self.dimensions, device=self.device)
        for rows, part in zip(codes.split(self._chunk), order.split(self._chunk), strict=True):
            rows.copy_(self.take(part))
        return codes

    def _forget(self, bytes_read: int) -> None:
        """Give back the pages of a memory map now and then: they would count as ours until memory runs out."""
        self._read += bytes_read
        if self._file is not None and self._read > KEEP and hasattr(mmap, "MADV_DONTNEED"):
            self._file.madvise(mmap.MADV_DONTNEED)
            self._read = 0


class LoaderSource:
    """Batches of a DataLoader, in its own order: each a tensor (B, D), or a tuple or list that starts with one.

    Attributes:
        samples: None: not known.
        dimensions: D.
        length: batches of an epoch, infinity where not known.

    Args:
        loader: batches that can be walked more than once.
        device: where batches go.

    Raises:
        ValueError: if the loader yields nothing, or no (B, D) tensors.
    """

    def __init__(self, loader: DataLoader[Any], device: torch.device) -> None:
        self.loader, self.device = loader, device
        self.samples = None
        self.length = _length(loader)
        first = next(iter(loader), None)
        if first is None:
            raise ValueError("the DataLoader yields no batch: it needs at least 1 sample")
        self.dimensions = self._codes(first).shape[1]

    def batches(self, size: int | None = None, order: Tensor | None = None) -> Iterator[Tensor]:
        """Batches (B, D) as the loader makes them; ``size`` and ``order`` are the loader's own."""
        seen, empty = 0, True
        for batch in self.loader:
            codes, empty = self._codes(batch), False
            check_shape(codes, self.dimensions)
            check_codes(codes, first=seen)
            seen += len(codes)
            yield codes
        if empty:
            raise ValueError(
                "the DataLoader yields no batch any more: it must be one that can be walked again and again"
            )

    def check(self) -> None:
        """Nothing: every batch is checked as it comes."""

    def pool(self, size: int, generator: Generator) -> Tensor:
        """Codes of the first batches, ``size`` or fewer."""
        parts: list[Tensor] = []
        for codes in self.batches():
            parts.append(codes)
            if sum(map(len, parts)) >= size:
                break
        return torch.cat(parts)[:size]

    def _codes(self, batch: Any) -> Tensor:
        codes = batch[0] if isinstance(batch, tuple | list) else batch
        if not isinstance(codes, Tensor) or codes.ndim != 2:
            raise ValueError(f"the DataLoader must yield (B, D) tensors, alone or first; got {type(codes).__name__}")
        return codes.to(self.device, torch.float32)


Source = ArraySource | LoaderSource


def is_source(codes: object) -> bool:
    """Whether codes need no conversion to an array of floats: a tensor, a memory map of floats or a DataLoader."""
    return isinstance(codes, Tensor | DataLoader) or (isinstance(codes, np.memmap) and codes.dtype.kind == "f")


def open_source(codes: Any, device: torch.device) -> Source:
    """Make codes readable by batches.

    Args:
        codes: (N, D) tensor, array or memory map, or a DataLoader of (B, D) tensors.
        device: where batches go.

    Returns:
        The source.

    Raises:
        ValueError: if the codes are not (N, D), or none.
    """
    if isinstance(codes, DataLoader):
        return LoaderSource(codes, device)
    if codes.ndim != 2 or 0 in codes.shape:
        raise ValueError(f"codes must be (samples, dimensions), at least 1 x 1; got shape {tuple(codes.shape)}")
    return ArraySource(codes, device)


def _length(loader: DataLoader[Any]) -> float:
    """Batches of an epoch; infinity for a stream that does not say, so that its schedules move between epochs only."""
    try:
        return len(loader)
    except TypeError:
        return math.inf


def _memory_map(codes: Tensor | np.ndarray) -> mmap.mmap | None:
    while isinstance(codes, np.ndarray):
        found = getattr(codes, "_mmap", None)
        if found is not None:
            # What was written to a copy-on-write map is in memory alone, and would be lost with its pages.
            return None if getattr(codes, "mode", None) == "c" else found
        codes = codes.base  # type: ignore[assignment]
    return None

"""Fills a store, batch by batch, so that an interruption costs seconds and never passes for an end.

Rows are cut into batches of consecutive rows, the same ones whatever the number of processes; each process computes
some of the batches and writes their rows into the common files. What is written is on the disk before `done.npy`, one
byte a batch, says so: after an interruption the other batches are computed, by any number of processes. The folder
loses the `.part` of its name once every batch is done.

Files are written, not mapped: where a disk is full, a write raises an error and a mapped page kills the process. They
are not preallocated either: not every file system can, and a store that is half full takes half its space.
"""

import fcntl
import json
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.format import open_memmap
from torch import Tensor

from codes.store import FORMAT, MANIFEST, PART, Recipe
from codes.store_files import ArrayFile, size_text, sync_folder, write_whole

SYNC_SECONDS = 2.0  # between two records of progress
QUEUE = 8  # batches that may wait to be written, while the disk takes in what came before
RESERVED = ("ids", "labels", "dead")


class Batch(NamedTuple):
    """Rows of a split that are computed together."""

    split: str
    first: int
    last: int


class StoreWriter:
    """Fills one store. One process calls `create` and at the end `finish`; all of them `open`, `write` and `close`.

    Args:
        folder: The store's folder, once it is whole.
        recipe: What the codes are of.
        widths: Depth to code dimensions D.
        rows: Split to number of rows N.
        batch: Rows that are computed together.

    Attributes:
        batches: Every batch of every split.
        part: The folder while it is being filled.

    Raises:
        ValueError: If a depth's name can be no file's.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, widths: Mapping[str, int], rows: Mapping[str, int], batch: int
    ) -> None:
        for depth in widths:
            if "/" in depth or depth in RESERVED or depth.startswith("."):
                raise ValueError(f"depth '{depth}' can be no file's name: give it another in model.taps")
        self.folder, self.part = folder, folder.with_name(folder.name + PART)
        self.batches = [
            Batch(split, first, min(first + batch, count))
            for split, count in rows.items()
            for first in range(0, count, batch)
        ]
        splits = {split: {"rows": count} for split, count in rows.items()}
        self._plan = {"format": FORMAT, "recipe": recipe, "splits": splits, "batch": batch}
        self._shapes: dict[str, tuple[tuple[int, ...], str]] = {
            **{depth: ((width,), recipe["dtype"]) for depth, width in widths.items()},
            "ids": ((), "int64"),
            "labels": ((), "int64"),
            "dead": ((len(widths),), "int32"),
        }
        self._rows = dict(rows)
        self._files: dict[tuple[str, str], ArrayFile] = {}
        self._written: list[int] = []
        self._synced = 0.0
        self._thread = ThreadPoolExecutor(1, "store writer")
        self._queue: deque[Future[None]] = deque()
        self._lock: int | None = None

    @property
    def bytes_needed(self) -> int:
        """Bytes of the whole store, without its manifest and the arrays' heads."""
        return sum(self._rows.values()) * self._bytes_a_row

    def create(self, made_with: Mapping[str, str]) -> str | None:
        """Make the files, or find those of an interrupted pass; on one process.

        Args:
            made_with: Names and versions of what computes the codes.

        Returns:
            A warning where the rest will be computed by other versions than the beginning was, else None.

        Raises:
            ValueError: If an interrupted pass cannot be gone on with.
            OSError: If another process is at it, or the disk has not enough space.
        """
        self.part.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        plan = self._plan | {"made_with": dict(made_with)}
        before: dict[str, Any] | None = None
        if (self.part / MANIFEST).is_file():
            before = json.loads((self.part / MANIFEST).read_text())
            rows = {split: each["rows"] for split, each in before["splits"].items()}
            for what, there, here in (("images", rows, self._rows), ("rows a batch", before["batch"], plan["batch"])):
                if there != here:
                    raise ValueError(
                        f"'{self.part}' was begun with {there} {what}, and here it is {here}: go on with the same "
                        "settings and files, or delete that folder to start anew"
                    )
        self._check_space(0 if before is None else int(self._read_done().sum()))
        if before is None:
            self._make_files()
            write_whole(self.part / MANIFEST, json.dumps(plan))
        elif before["made_with"] != plan["made_with"]:
            return (
                f"'{self.part}' was begun with {before['made_with']} and goes on with {dict(made_with)}: its codes may "
                "differ from an uninterrupted pass in their last digits"
            )
        return None

    def open(self) -> list[int]:
        """Open the files, and return the numbers of the batches that are missing; on every process."""
        self._files = {
            (split, name): ArrayFile(self.part / split / f"{name}.npy") for split in self._rows for name in self._shapes
        }
        self._synced = time.monotonic()
        return np.flatnonzero(self._read_done() == 0).tolist()

    def write(
        self, number: int, codes: Mapping[str, Tensor], dead: Mapping[str, Tensor], ids: Tensor, labels: Tensor
    ) -> None:
        """Write a batch, in a thread of its own while the next is computed.

        Args:
            number: Which of `batches`.
            codes: Depth to (B, D) codes.
            dead: Depth to (B,) channels without a center of mass.
            ids: (B,) sample ids.
            labels: (B,) labels.

        Raises:
            OSError: If this or an earlier batch could not be written; nothing that was written before is lost.
            ValueError: If a code exceeds float16.
        """
        self._queue.append(self._thread.submit(self._write, number, codes, dead, ids, labels))
        while len(self._queue) > QUEUE:
            self._queue.popleft().result()

    def close(self) -> None:
        """Put everything that was written onto the disk, and close the files; on every process.

        Raises:
            OSError: If a batch could not be written.
            ValueError: If a code exceeds float16.
        """
        try:
            self._thread.shutdown()
            failures = [failure for each in self._queue if (failure := each.exception())]
            self._queue.clear()
            if self._files:
                self._sync()
            if failures:
                raise failures[0]
        finally:
            for file in self._files.values():
                file.close()
            self._files = {}
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def finish(self, classes: list[str], channels: Mapping[str, int], about: Mapping[str, Mapping[str, Any]]) -> bool:
        """Make the store whole, if every batch of every process is done; on one process, once all have closed.

        Args:
            classes: Class names, in label order.
            channels: Depth to number of channels C.
            about: By split, what else the manifest is to say of it.

        Returns:
            Whether it is whole.
        """
        if not self._read_done().all():
            return False
        plan = json.loads((self.part / MANIFEST).read_text())
        splits = {}
        for split, count in self._rows.items():
            dead = np.load(self.part / split / "dead.npy", mmap_mode="r").sum(0, dtype=np.int64)
            totals = dict(zip(channels, dead.tolist(), strict=True))
            splits[split] = {"rows": count, "dead_channels": totals, **about.get(split, {})}
        manifest = plan | {"splits": splits, "classes": classes, "channels": dict(channels)}
        write_whole(self.part / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        os.rename(self.part, self.folder)
        sync_folder(self.folder.parent)
        for name in ("done.npy", "lock"):
            (self.folder / name).unlink(missing_ok=True)
        return True

    @property
    def _bytes_a_row(self) -> int:
        return sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in self._shapes.values())

    def _take_lock(self) -> None:
        # Of POSIX, which a forked worker does not inherit: it would outlive a process that is killed.
        self._lock = os.open(self.part / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OSError(f"another process is filling '{self.part}': wait until it is done") from error

    def _check_space(self, done: int) -> None:
        needed = self.bytes_needed * (1 - done / len(self.batches))
        free = shutil.disk_usage(self.part).free
        if needed > free:
            raise OSError(
                f"the codes need {size_text(needed)} more and the disk of '{self.part}' has {size_text(free)} free: "
                "make space, give another folder, or keep float16"
            )

    def _make_files(self) -> None:
        for split, count in self._rows.items():
            (self.part / split).mkdir(exist_ok=True)
            for name, (shape, kind) in self._shapes.items():
                open_memmap(self.part / split / f"{name}.npy", "w+", kind, (count, *shape))
            sync_folder(self.part / split)
        np.save(self.part / "done.npy", np.zeros(len(self.batches), np.uint8))

    def _read_done(self) -> np.ndarray:
        return np.load(self.part / "done.npy")

    def _write(
        self, number: int, codes: Mapping[str, Tensor], dead: Mapping[str, Tensor], ids: Tensor, labels: Tensor
    ) -> None:
        split, first, last = self.batches[number]
        arrays = {depth: _convert(code, depth, self._shapes[depth][1]) for depth, code in codes.items()}
        arrays["ids"], arrays["labels"] = ids.cpu().numpy(), labels.cpu().numpy()
        arrays["dead"] = np.stack([dead[depth].cpu().numpy() for depth in codes], axis=1).astype(np.int32)
        if any(len(values) != last - first for values in arrays.values()):
            raise ValueError(f"batch {number} has {len(ids)} rows, expected {last - first} of split '{split}'")
        try:
            for name, values in arrays.items():
                self._files[split, name].put(first, values)
            self._written.append(number)
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                self._sync()
        except OSError as error:
            done = int(self._read_done().sum())
            raise OSError(
                f"cannot write to '{self.part}' ({error.strerror}): {done} of {len(self.batches)} batches are kept; "
                "make space and run the same command again"
            ) from error

    def _sync(self) -> None:
        """Put the rows onto the disk, and only then the record that they are there."""
        for file in self._files.values():
            file.sync()
        record = ArrayFile(self.part / "done.npy")
        try:
            for number in self._written:
                record.put(number, np.ones(1, np.uint8))
            record.sync()
        finally:
            record.close()
        self._written.clear()
        self._synced = time.monotonic()


def _convert(codes: Tensor, depth: str, kind: str) -> np.ndarray:
    values = codes.float().cpu().numpy()
    if kind == "float32":
        return values
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if (np.isinf(half) & np.isfinite(values)).any():
        largest = np.abs(values[np.isfinite(values)]).max()
        raise ValueError(f"a code of {depth} is {largest:.3g}, beyond float16's 65504: keep float32 (--store_dtype)")
    return half

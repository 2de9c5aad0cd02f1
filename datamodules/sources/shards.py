"""WebDataset shards: .tar files of samples whose members share a name up to its first dot (`key.jpg`, `key.cls`).

The members are listed once, and the listing is kept beside the shards; images are then read by their offsets. So the
shards are as good as files for shuffling, sharding, subsets and resumption, and nothing has to be unpacked. The format:
https://github.com/webdataset/webdataset.
"""

import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pytorch_lightning.utilities import rank_zero_info
from tqdm import tqdm

from datamodules.samples import SPLITS, ImageSource, Samples, file_state, pack_names
from datamodules.sources.folder import EXTENSIONS

__all__ = ["list_shards"]

LISTING = "somscope_listing.parquet"
SPLIT_OF = re.compile(r"(train|val|test)")
SCHEMA = pa.schema(
    {"shard": pa.string(), "key": pa.string(), "offset": pa.int64(), "size": pa.int64(), "label": pa.int64()}
)
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class _Members:
    """Opens images by their ids: members of shards, by offset."""

    shards: list[str]
    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray

    def __call__(self, number: int, name: str) -> bytes:
        """The bytes of the member."""
        with open(self.shards[self.shard[number]], "rb") as file:
            file.seek(self.offset[number])
            return file.read(self.size[number])

    def state(self, number: int, name: str) -> str:
        """That of the shard."""
        return file_state(Path(self.shards[self.shard[number]]))


def list_shards(root: Path) -> ImageSource:
    """List the images in shards.

    A shard's split is the first of "train", "val" and "test" in its path below the root; without any it is "train". A
    sample's label is the number in its member `key.cls`; `root/classes.txt` may name the classes, one a line in the
    order of their numbers. Samples without labels are one class. Ids follow the shards' names, then their order inside.

    Args:
        root: the folder of the .tar files, or of folders of them.

    Raises:
        FileNotFoundError: if there are no shards.
        ValueError: if a shard is no plain .tar, or labels and class names do not fit.
    """
    shards = _tars(root)
    if not shards:
        raise FileNotFoundError(f"data.root '{root}' holds no .tar shards: give the folder of the shards")
    listing = _listing(root, shards)
    labels = listing["label"].to_numpy()
    classes = _classes(root, labels)
    paths = [str(shard.relative_to(root)) for shard in shards]
    shard = listing["shard"].combine_chunks().dictionary_encode()
    position = np.array([paths.index(path) for path in shard.dictionary.to_pylist()])[shard.indices.to_numpy()]
    split_of = np.array([SPLITS.index(match[1]) if (match := SPLIT_OF.search(path)) else 0 for path in paths])
    splits = {}
    for number, split in enumerate(SPLITS):
        rows = np.flatnonzero(split_of[position] == number)
        if len(rows):
            part = listing.take(rows)
            keys = zip(part["shard"].to_pylist(), part["key"].to_pylist(), strict=True)
            names = pack_names([f"{path}/{key}" for path, key in keys])
            open_ = _Members([*map(str, shards)], position[rows], part["offset"].to_numpy(), part["size"].to_numpy())
            splits[split] = Samples(np.arange(len(rows)), np.maximum(labels[rows], 0), names, open_)
    return ImageSource(splits, classes)


def _listing(root: Path, shards: list[Path]) -> pa.Table:
    """The kept listing where the shards are as they were; otherwise a new one, kept where the folder allows it."""
    state = "\n".join(f"{path.relative_to(root)} {file_state(path)}" for path in shards)
    kept = root / LISTING
    if kept.exists():
        try:
            listing = pq.read_table(kept)
            if (listing.schema.metadata or {}).get(b"shards") == state.encode():
                return listing
        except (OSError, pa.ArrowInvalid):
            pass  # damaged: made anew
    with tqdm(shards, "listing shards", leave=False, disable=len(shards) < 10) as bar:
        tables = [_members(path, str(path.relative_to(root))) for path in bar]
    listing = pa.concat_tables(tables).replace_schema_metadata({"shards": state})
    part = root / f".{LISTING}.{os.getpid()}.part"
    try:
        pq.write_table(listing, part)
        part.replace(kept)
    except OSError as error:
        rank_zero_info(f"the listing of the shards is not kept ({error}): every run makes it anew")
    return listing


def _members(shard: Path, name: str) -> pa.Table:
    """The images of a shard, one row each."""
    samples: dict[str, list[int]] = {}  # offset, size, label
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                folder, _, file = member.name.rpartition("/")
                stem, _, ending = file.partition(".")
                if not member.isfile() or not stem:
                    continue
                sample = samples.setdefault(f"{folder}/{stem}".lstrip("/"), [0, 0, UNLABELLED])
                if f".{ending.lower()}" in EXTENSIONS and not sample[1]:
                    sample[:2] = [member.offset_data, member.size]
                elif ending == "cls":
                    sample[2] = _label(tar.extractfile(member).read(), shard, member.name)  # type: ignore[union-attr]
    except tarfile.TarError as error:
        raise ValueError(
            f"'{shard}' cannot be listed ({error}): shards must be whole .tar files that are not compressed"
        ) from error
    rows = [(name, key, *sample) for key, sample in samples.items() if sample[1]]
    return pa.table(dict(zip(SCHEMA.names, zip(*rows, strict=True), strict=True)) if rows else {}, SCHEMA)


def _label(content: bytes, shard: Path, member: str) -> int:
    if not content.strip().isdigit():
        raise ValueError(f"'{member}' of '{shard}' holds {content[:20]!r}: a label must be the number of a class")
    return int(content)


def _classes(root: Path, labels: np.ndarray) -> list[str]:
    names = root / "classes.txt"
    unlabelled = labels == UNLABELLED
    if unlabelled.all():
        return ["unlabelled"]
    if unlabelled.any():
        raise ValueError(
            f"'{root}': {unlabelled.sum()} of {len(labels)} samples have no label (.cls): give all or none"
        )
    count = int(labels.max()) + 1
    if not names.exists():
        return [str(number) for number in range(count)]
    classes = names.read_text().splitlines()
    if len(classes) < count:
        raise ValueError(f"'{names}' names {len(classes)} classes, but there is a label {count - 1}")
    return classes


def _tars(root: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise OSError(f"'{error.filename}' cannot be listed ({error.strerror}): make it readable")

    return sorted(
        Path(folder, file)
        for folder, _, files in os.walk(root, onerror=refuse)
        for file in files
        if file.endswith(".tar")
    )

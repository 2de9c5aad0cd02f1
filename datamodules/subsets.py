"""Parts of a source: a validation split, some classes, listed images, equal numbers per class. Ids never change.

What is drawn of a class depends on (seed, class name) alone: not on the other classes, and a draw of n is contained in
one of more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from zlib import crc32

import numpy as np

from datamodules.labels import find_class
from datamodules.samplers import derive_seed
from datamodules.samples import ImageSource, Samples

__all__ = ["PerClass", "draw_per_class", "only_classes", "only_listed", "split_off_validation"]

PerClass = int | Mapping[Any, int] | str  # for all splits; by split; or "equal"


def split_off_validation(source: ImageSource, share: float, seed: int) -> ImageSource:
    """Part the training images into "train" and "val" where there is no "val": the same share of each class.

    Args:
        source: a source; one with "val", or without "train", is returned as it is.
        share: share of a class that goes to "val", rounded, but at least one image, and none of a single image.
        seed: with the class's name, what decides who goes.
    """
    if "val" in source.splits or "train" not in source.splits:
        return source
    samples = source.splits["train"]
    chosen = np.zeros(len(samples), bool)
    for name, members in zip(source.classes, _by_class(samples, len(source.classes)), strict=True):
        count = min(max(1, round(share * len(members))), len(members) - 1) if len(members) else 0
        chosen[_shuffled(members, name, seed)[:count]] = True
    parts = {"train": samples.take(np.flatnonzero(~chosen)), "val": samples.take(np.flatnonzero(chosen))}
    return replace(source, splits=source.splits | parts)


def only_classes(source: ImageSource, wanted: Sequence[str]) -> ImageSource:
    """Keep some classes, in the source's order; labels count from 0 again.

    Args:
        source: a source.
        wanted: names of classes, as the source has them, or their ImageNet names where it has wnids.

    Raises:
        ValueError: if a name is unknown, or fits several classes.
    """
    kept = sorted({find_class(name, source) for name in wanted})
    position = np.full(len(source.classes), -1)
    position[kept] = np.arange(len(kept))
    splits = {}
    for split, samples in source.splits.items():
        part = samples.take(np.flatnonzero(position[samples.labels] >= 0))
        splits[split] = replace(part, labels=position[part.labels])
    names = [source.classes[label] for label in kept]
    wnids = source.wnids and [source.wnids[label] for label in kept]
    return replace(source, splits=splits, classes=names, wnids=wnids)


def only_listed(source: ImageSource, listing: Path) -> ImageSource:
    """Keep the images that a text file lists, in the splits that it names; splits that it does not name stay whole.

    Args:
        source: a source.
        listing: an image a line, as `split/id` ("val/293") or by its path, of which leading folders may be left out
            ("val/n01440764/ILSVRC2012_val_00000293.JPEG", "n01440764/ILSVRC2012_val_00000293.JPEG"). Empty lines and
            those that begin with # do not count.

    Raises:
        ValueError: if it is no text, or a line fits no image, or several of one split.
    """
    try:
        lines = [line.strip().removeprefix("./") for line in listing.read_text().splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"data.ids '{listing}' is no text: give a text file, a split/id or path a line") from error
    wanted = {line for line in lines if line and not line.startswith("#")}
    last_parts = {line.rpartition("/")[2] for line in wanted}  # most images are in none of the lines
    found: dict[str, tuple[str, str]] = {}
    splits = dict(source.splits)
    for split, samples in source.splits.items():
        kept = []
        for position in range(len(samples)):
            name, number = samples.name(position), str(samples.ids[position])
            if last_parts.isdisjoint((number, name.rpartition("/")[2])):
                continue
            for key in wanted.intersection((f"{split}/{number}", *_endings(name))):
                if key in found and found[key][0] == split:
                    raise ValueError(
                        f"data.ids '{listing}': '{key}' fits '{found[key][1]}' and '{name}': give more of the path"
                    )
                found[key] = (split, name)
                kept.append(position)
        if kept:
            splits[split] = samples.take(np.unique(kept))
    if missing := sorted(wanted - found.keys()):
        raise ValueError(
            f"data.ids '{listing}': {len(missing)} of {len(wanted)} lines fit no image, e.g. '{missing[0]}': give "
            f"paths below data.root, or split/id (splits: {', '.join(source.splits)}), as images.parquet has them"
        )
    return replace(source, splits=splits)


def draw_per_class(
    source: ImageSource, usable: Mapping[str, np.ndarray], per_class: PerClass | None, seed: int
) -> dict[str, np.ndarray]:
    """Draw the same number of images of every class.

    Args:
        source: a source.
        usable: by split, (N,) which of its images may be drawn.
        per_class: how many; by split, whose absent ones are taken whole; "equal" draws of each class as many as the
            smallest of the splits has; None takes all.
        seed: with the class's name, what is drawn.

    Returns:
        The sorted positions that are drawn, by split.

    Raises:
        ValueError: if a class has fewer usable images than asked.
    """
    # Shuffled before those that cannot be used are left out: what is drawn then does not depend on when that was found.
    order = {
        split: [
            shuffled[usable[split][shuffled]]
            for name, part in zip(source.classes, _by_class(source.splits[split], len(source.classes)), strict=True)
            for shuffled in [_shuffled(part, name, seed)]
        ]
        for split in usable
    }
    drawn = {}
    for split, parts in order.items():
        if per_class == "equal":
            counts = [min(len(other[label]) for other in order.values()) for label in range(len(parts))]
        else:
            number = per_class.get(split) if isinstance(per_class, Mapping) else per_class
            counts = [len(part) if number is None else int(number) for part in parts]
        short = [name for name, part, count in zip(source.classes, parts, counts, strict=True) if len(part) < count]
        if short:
            has = len(parts[source.classes.index(short[0])])
            raise ValueError(
                f"data.per_class asks for {max(counts)} {split} images of a class, but {len(short)} of {len(parts)} "
                f"classes have fewer, e.g. '{short[0]}' has {has}: lower it, leave them out by data.classes, or give "
                "'equal'"
            )
        drawn[split] = np.sort(np.concatenate([part[:count] for part, count in zip(parts, counts, strict=True)]))
    return drawn


def _by_class(samples: Samples, classes: int) -> list[np.ndarray]:
    """The positions of each class, in order."""
    order = np.argsort(samples.labels, kind="stable")
    return np.split(order, np.cumsum(np.bincount(samples.labels, minlength=classes))[:-1])


def _shuffled(members: np.ndarray, name: str, seed: int) -> np.ndarray:
    random = np.random.default_rng(derive_seed(seed, crc32(name.encode(errors="surrogateescape"))))
    return random.permutation(members)


def _endings(name: str) -> list[str]:
    """A path, and what is left of it without its first folders.

    >>> _endings("val/ant/1.png")
    ['val/ant/1.png', 'ant/1.png', '1.png']
    """
    parts = PurePosixPath(name).parts
    return ["/".join(parts[k:]) for k in range(len(parts))]

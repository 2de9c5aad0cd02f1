"""Class names, and which class of the backbone each class of the data is: by wnid, by name, by order, or none."""

import difflib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

from timm.data import ImageNetInfo

from datamodules.samples import ImageSource

__all__ = ["LabelMap", "Matching", "display_names", "find_class", "map_labels"]

Matching = Literal["wnid", "name", "order", "none"]


SHOWN = 20  # classes that a message lists at most


class LabelMap(NamedTuple):
    """Which class of the backbone each class of the data is.

    Attributes:
        indices: for each class of the data the backbone's.
        classes: how many classes the backbone must have for this to hold.
        labels: what the labels are, for outputs.
    """

    indices: list[int]
    classes: int
    labels: str


def map_labels(source: ImageSource, mapping: Matching | None) -> LabelMap | None:
    """Map the classes of the data to those of the backbone.

    Args:
        source: the images, with class names and perhaps wnids.
        mapping: "wnid": the classes' wnids are synsets of ImageNet-1k; "name": their names are names of such synsets,
            e.g. "goldfish"; "order": class k of the data is class k of the backbone; "none": there is no mapping;
            None: "wnid" where that works, else "none".

    Returns:
        The mapping, or None without one.

    Raises:
        ValueError: if what is asked for does not hold for every class.
    """
    index_of = _imagenet_wnids()
    wnids = source.wnids or source.classes
    match mapping:
        case "none":
            return None
        case "order":
            return LabelMap(list(range(len(source.classes))), len(source.classes), "the data's own labels")
        case "name":
            indices = [_imagenet_index(name) for name in source.classes]
            if len(set(indices)) < len(indices):
                twice = next(index for index in indices if indices.count(index) > 1)
                names = [name for name, index in zip(source.classes, indices, strict=True) if index == twice]
                raise ValueError(f"data.mapping 'name': {' and '.join(map(repr, names))} are one class of ImageNet")
            return LabelMap(indices, 1000, "ImageNet labels, of classes found by their names")
        case _:
            unknown = [wnid for wnid in wnids if wnid not in index_of]
            if not unknown:
                return LabelMap([index_of[wnid] for wnid in wnids], 1000, "ImageNet labels")
            if mapping == "wnid":
                raise ValueError(
                    f"data.mapping 'wnid': {len(unknown)} of {len(wnids)} classes are no wnids of ImageNet-1k, e.g. "
                    f"'{unknown[0]}': name the class folders by wnid (n01440764), or set data.mapping to name, order "
                    "or none"
                )
            return None


def display_names(source: ImageSource) -> list[str]:
    """Class names for people: ImageNet's where the classes are its wnids, otherwise those of the source.

    >>> from datamodules.samples import ImageSource
    >>> display_names(ImageSource({}, ["n01440764", "n02012849"]))
    ['tench, Tinca tinca', 'crane (n02012849)']
    """
    index_of = _imagenet_wnids()
    wnids = source.wnids or source.classes
    if any(wnid not in index_of for wnid in wnids):
        return source.classes
    names = [_description(index_of[wnid]) for wnid in wnids]
    known = [_description(index) for index in index_of.values()]
    return [f"{name} ({wnid})" if known.count(name) > 1 else name for name, wnid in zip(names, wnids, strict=True)]


def find_class(wanted: str, source: ImageSource) -> int:
    """Find a class by the source's own name for it, or by one of its ImageNet names where it has wnids.

    Returns:
        Its label.

    Raises:
        ValueError: if there is none, or several are called so.
    """
    if wanted in source.classes:
        return source.classes.index(wanted)
    called = defaultdict(list)
    for label, (own, shown) in enumerate(zip(source.classes, display_names(source), strict=True)):
        for name in {_normal(own), *_names(shown)}:
            called[name].append(label)
    labels = called.get(_normal(wanted), [])
    if len(labels) == 1:
        return labels[0]
    if labels:
        several = ", ".join(f"'{source.classes[label]}'" for label in labels)
        raise ValueError(f"data.classes: '{wanted}' fits several classes ({several}): give one of these")
    raise ValueError(f"data.classes: no class is called '{wanted}'{_near(wanted, called) or _all(source)}")


def _imagenet_index(name: str) -> int:
    called = _imagenet_names()
    indices = called.get(_normal(name), ())
    if len(indices) == 1:
        return indices[0]
    if indices:
        several = ", ".join(f"{index} ({_description(index)})" for index in indices)
        raise ValueError(
            f"data.mapping 'name': class '{name}' fits several classes of ImageNet, {several}: name it by its wnid, or "
            "set data.mapping to none"
        )
    raise ValueError(
        f"data.mapping 'name': class '{name}' is none of ImageNet-1k's{_near(name, called)}: rename it, leave it out "
        "by data.classes, or set data.mapping to none"
    )


@cache
def _imagenet_wnids() -> dict[str, int]:
    return {wnid: index for index, wnid in enumerate(_imagenet().label_names())}


@cache
def _imagenet_names() -> dict[str, tuple[int, ...]]:
    """The classes of ImageNet-1k that go by each name: a whole description, or one of the names in it."""
    called: dict[str, tuple[int, ...]] = {}
    for index in range(len(_imagenet_wnids())):
        for name in _names(_description(index)):
            called[name] = (*called.get(name, ()), index)
    return called


def _description(index: int) -> str:
    return _imagenet().index_to_description(index)


@cache
def _imagenet() -> ImageNetInfo:
    return ImageNetInfo()


def _names(description: str) -> set[str]:
    return {_normal(description), *map(_normal, description.split(","))}


def _normal(name: str) -> str:
    """Names are compared without case, and with spaces for underscores and hyphens.

    >>> _normal("Great_white-shark ")
    'great white shark'
    """
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _all(source: ImageSource) -> str:
    """What there is to choose from: all classes, or the first of many."""
    first = ", ".join(source.classes[:SHOWN])
    more = len(source.classes) - SHOWN
    return f"; there are {first}" + (f" and {more} more, give one of these" if more > 0 else ", give one of these")


def _near(name: str, known: Sequence[str] | dict) -> str:
    near = difflib.get_close_matches(_normal(name), list(known), n=3)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""

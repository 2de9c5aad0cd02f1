"""Where images come from: one file a source, each of which lists an `ImageSource`."""

import difflib
from pathlib import Path

from datamodules.samples import ImageSource
from datamodules.sources.cifar import list_cifar
from datamodules.sources.embedded import list_photographs
from datamodules.sources.folder import list_folder
from datamodules.sources.huggingface import list_huggingface
from datamodules.sources.imagenet import list_imagenet
from datamodules.sources.imagenette import SIZES, list_imagenette
from datamodules.sources.shards import list_shards

__all__ = ["check_source", "open_source"]

NAMES = ("folder", "imagenet", *(f"imagenette/{size}" for size in SIZES), "cifar10", "cifar100", "webdataset")
CREATED = ("imagenette/", "cifar")  # may be fetched into a folder that does not exist yet


def check_source(source: str | None, root: str | None) -> None:
    """Refuse at once what cannot be a source.

    Raises:
        ValueError: if the source is unknown, or lacks a root.
        FileNotFoundError: if the root has to be there and is not.
    """
    if source is None or source.startswith("huggingface/"):
        known = True
    else:
        known = source in NAMES
    if not known or source == "huggingface/":
        near = difflib.get_close_matches(str(source), NAMES, n=2)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ":"
        raise ValueError(
            f"data.source '{source}' is unknown{hint} allowed are {', '.join(NAMES)}, huggingface/NAME, and null (the "
            "folder data.root, or without one the embedded photographs)"
        )
    if source in NAMES and root is None:
        raise ValueError(f"data.source '{source}' needs data.root: the folder where its files are, or shall be put")
    if root is not None and not str(source).startswith((*CREATED, "huggingface/")) and not Path(root).is_dir():
        holds = {"imagenet": "ImageNet", "webdataset": ".tar shards"}.get(str(source), "train/ and val/ class folders")
        raise FileNotFoundError(f"data.root '{root}' is not a folder: give one that holds {holds}")


def open_source(source: str | None, root: Path | None, download: bool) -> ImageSource:
    """List a source.

    Args:
        source: "folder", "imagenet", "imagenette/SIZE", "cifar10", "cifar100", "huggingface/NAME" or "webdataset"; None
            takes the folder `root`, or without one the embedded photographs.
        root: where its files are, or shall be put.
        download: whether what is missing may be fetched.

    Raises:
        OSError: if something is missing.
        ValueError: if what is there cannot be used.
    """
    kind, _, rest = (source or ("folder" if root else "embedded")).partition("/")
    if kind == "huggingface":
        return list_huggingface(rest, root, download)
    if root is None:
        return list_photographs()
    match kind:
        case "imagenet":
            return list_imagenet(root)
        case "imagenette":
            return list_imagenette(root, rest, download)
        case "cifar10" | "cifar100":
            return list_cifar(root, kind, download)
        case "webdataset":
            return list_shards(root)
        case _:
            return list_folder(root)

"""ImageNet-1k (ILSVRC2012) as torchvision lays it out: train/<wnid>/, val/<wnid>/ or val/ flat, and the archives.

A flat val/ is labelled by the devkit: torchvision's meta.bin, made from ILSVRC2012_devkit_t12.tar.gz, holds the wnid of
each numbered image. Archives are unpacked by torchvision.
"""

import pickle
import re
from pathlib import Path

import torch
from torchvision.datasets import imagenet

from datamodules.samples import ImageSource
from datamodules.sources.fetching import unpack_once
from datamodules.sources.folder import EXTENSIONS, arrange, walk_classes

__all__ = ["list_imagenet"]

ARCHIVES = {split: name for split, (name, _) in imagenet.ARCHIVE_META.items()}
ADVICE = "get {} of ILSVRC2012 from image-net.org (free for research, after registration) and put it into '{}'"
NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


def list_imagenet(root: Path) -> ImageSource:
    """List the training and the validation images, as far as they are there.

    Raises:
        OSError: if there are neither images nor archives, or val/ is flat and its labels are missing.
        ValueError: if unpacking was interrupted.
    """
    _unpack(root)
    folders = {split: root / split for split in ("train", "val") if (root / split).is_dir()}
    if not folders:
        archives = f"{ARCHIVES['train']}, {ARCHIVES['val']} and {ARCHIVES['devkit']}"
        raise FileNotFoundError(f"'{root}' holds no train/ or val/ folder: {ADVICE.format(archives, root)}")
    left_out: dict[str, list[str]] = {split: [] for split in folders}
    files = {}
    for split, folder in folders.items():
        loose = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        nested = any(path.is_dir() for path in folder.iterdir())
        if loose and nested:
            raise ValueError(
                f"'{folder}' holds class folders beside {len(loose)} loose files, e.g. '{loose[0]}', as where "
                "unpacking was interrupted: remove the folder, and it is unpacked anew from the archive"
            )
        if loose and split == "val":
            files[split] = _labelled(root, [name for name in loose if name.lower().endswith(EXTENSIONS)])
        else:
            files[split] = walk_classes(root, folder, left_out[split])
    return arrange(root, files, left_out)


def _labelled(root: Path, names: list[str]) -> dict[str, list[str]]:
    """The numbered images of a flat val/, by wnid."""
    _, wnids = _devkit(root)
    files: dict[str, list[str]] = {wnid: [] for wnid in sorted(set(wnids))}
    for name in names:
        match = NUMBERED.fullmatch(name)
        if match is None or not 1 <= int(match[1]) <= len(wnids):
            raise ValueError(f"'{root}/val/{name}' is none of the devkit's {len(wnids)} ILSVRC2012_val_<8 digits>.JPEG")
        files[wnids[int(match[1]) - 1]].append(f"val/{name}")
    return files


def _unpack(root: Path) -> None:
    """Unpack the archives that are there and whose folders are not."""
    try:
        if (root / ARCHIVES["train"]).exists():
            unpack_once(root / "train", lambda part: _unpack_train(root, part))
        if (root / ARCHIVES["val"]).exists() and not (root / "val").exists():
            wnids = _devkit(root)[1]
            unpack_once(root / "val", lambda part: _unpack_val(root, wnids, part))
    except RuntimeError as error:  # how torchvision tells a wrong checksum
        raise OSError(f"an archive in '{root}' is damaged ({' '.join(str(error).split())}): get it anew") from error


def _unpack_train(root: Path, part: Path) -> Path:
    imagenet.parse_train_archive(root, folder=part.name)
    return part


def _unpack_val(root: Path, wnids: list[str], part: Path) -> Path:
    imagenet.parse_val_archive(root, wnids=wnids, folder=part.name)
    return part


def _devkit(root: Path) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Names by wnid, and the wnid of each validation image, which are made from the devkit's archive once."""
    path = root / imagenet.META_FILE
    if not path.exists():
        try:
            imagenet.parse_devkit_archive(root)
        except RuntimeError as error:
            raise FileNotFoundError(
                "the labels of ImageNet's validation images are in its devkit: "
                + ADVICE.format(ARCHIVES["devkit"], root)
            ) from error
    try:
        return torch.load(path, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError) as error:
        raise OSError(f"'{path}' is damaged: remove it, and it is made anew from {ARCHIVES['devkit']}") from error

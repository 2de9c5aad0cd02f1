"""A tree of class folders: `root/<split>/<class>/<image>`, or `root/<class>/<image>` without splits.

A sample's id is its position in the sorted listing of its split, unreadable files included, so that ids do not depend
on what was skipped. The order is that of torchvision's ImageFolder: by class, then folder, then file name.
"""

import os
from pathlib import Path

import numpy as np
from torchvision.datasets.folder import IMG_EXTENSIONS

from datamodules.samples import SPLITS, FilesBelow, ImageSource, Samples, pack_names

__all__ = ["EXTENSIONS", "arrange", "list_folder", "walk_classes"]

EXTENSIONS = (*IMG_EXTENSIONS, ".gif")


def list_folder(root: Path) -> ImageSource:
    """List an image tree.

    Args:
        root: a folder that holds some of `train/`, `val/` and `test/`, each with one folder a class; or class folders
            themselves: their images are then the split "train".

    Returns:
        The samples, the classes and what was left out.

    Raises:
        FileNotFoundError: if the folder or its splits are missing.
        PermissionError: if a folder cannot be listed.
        ValueError: if a split holds no class folders or no images.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"data.root '{root}' is not a folder: give one that holds train/ and val/ class folders"
        )
    folders = {split: root / split for split in SPLITS if (root / split).is_dir()}
    if not folders:
        if not _class_folders(root):
            inside = ", ".join(sorted(p.name for p in root.iterdir())[:5]) or "nothing"
            raise FileNotFoundError(
                f"data.root '{root}' has no train/, val/ or test/ folder (it holds: {inside}): arrange the images as "
                f"{root}/train/<class>/<image> and {root}/val/<class>/<image>, or all as {root}/<class>/<image>"
            )
        folders = {"train": root}
    left_out: dict[str, list[str]] = {split: [] for split in folders}
    files = {split: walk_classes(root, folder, left_out[split]) for split, folder in folders.items()}
    return arrange(root, files, left_out)


def walk_classes(root: Path, folder: Path, left_out: list[str]) -> dict[str, list[str]]:
    """List the images of one split.

    Args:
        root: what the listed paths are relative to.
        folder: where the class folders lie; hidden ones are passed over.
        left_out: takes the files that are no images by name or kind, hidden ones aside.

    Returns:
        The sorted paths of every class, in the order of the classes.

    Raises:
        PermissionError: if a folder cannot be listed.
        ValueError: if there are no class folders, or no images in them.
    """
    classes: dict[str, list[str]] = {}
    start = "" if folder == root else f"{folder.relative_to(root)}/"
    for entry in _class_folders(folder):
        images: list[tuple[str, str]] = []
        others: list[tuple[str, str]] = []
        _walk(entry.path, f"{start}{entry.name}", (), images, others)
        classes[entry.name] = ["/".join(path) for path in sorted(images)]  # by folder, then file name
        left_out += ["/".join(path) for path in sorted(others)]
    if not classes:
        raise ValueError(f"'{folder}' holds no class folders: put the images into one folder a class")
    if not any(classes.values()):
        raise ValueError(
            f"'{folder}' holds {len(classes)} class folders but no images: files must end in {', '.join(EXTENSIONS)}"
        )
    return classes


def arrange(
    root: Path, files: dict[str, dict[str, list[str]]], left_out: dict[str, list[str]] | None = None
) -> ImageSource:
    """Make a source of files.

    Args:
        root: what the paths are relative to.
        files: by split and class, the paths in order.
        left_out: by split, files that are no images.
    """
    classes = sorted({name for split in files.values() for name, paths in split.items() if paths})
    label_of = {name: label for label, name in enumerate(classes)}
    splits = {}
    for split, by_class in files.items():
        labels = np.repeat(
            np.array([label_of.get(name, -1) for name in by_class], np.int64),
            [len(paths) for paths in by_class.values()],
        )
        names = pack_names([path for paths in by_class.values() for path in paths])
        splits[split] = Samples(np.arange(len(labels)), labels, names, FilesBelow(root))
    return ImageSource(splits, classes, left_out=left_out or {})


def _class_folders(folder: Path) -> list[os.DirEntry[str]]:
    return sorted(
        (entry for entry in _scan(str(folder)) if _is_folder(entry) and not entry.name.startswith(".")),
        key=lambda entry: entry.name,
    )


def _walk(
    folder: str,
    below: str,
    above: tuple[tuple[int, int], ...],
    images: list[tuple[str, str]],
    others: list[tuple[str, str]],
) -> None:
    """List (folder, name) of all files; links are followed, but not back into a folder that holds them."""
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in _scan(folder):
        if _is_folder(entry):
            _walk(entry.path, f"{below}/{entry.name}", (*above, here), images, others)
        elif entry.name.lower().endswith(EXTENSIONS) and not _is_special(entry):
            images.append((below, entry.name))
        elif not entry.name.startswith("."):
            others.append((below, entry.name))


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError as error:
        raise PermissionError(
            f"'{folder}' cannot be listed ({error.strerror}): make it readable, or move it out of data.root"
        ) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: left to the check of the files, which reports it
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Whether it is a pipe or the like, which would be waited for. A dead link is not: it stands for a lost image."""
    try:
        return not entry.is_file() and os.path.exists(entry.path)
    except OSError:
        return False

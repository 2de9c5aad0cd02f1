"""Image files: find them in a tree of class folders, decode them, and tell which cannot be decoded.

A tree is `root/<split>/<class>/<image>`, as torchvision's ImageFolder reads it. A sample's id is its position in the
sorted listing of its split, unreadable files included, so that ids do not depend on what was skipped.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, UnidentifiedImageError
from torchvision.datasets.folder import IMG_EXTENSIONS, ImageFolder
from tqdm import tqdm

__all__ = [
    "EXTENSIONS",
    "Corrupt",
    "ImageFile",
    "ImageTree",
    "OnCorrupt",
    "find_images",
    "read_rgb",
    "without_corrupt",
]

EXTENSIONS = (*IMG_EXTENSIONS, ".gif")
OnCorrupt = Literal["skip", "error"]
SPLITS = ("train", "val", "test")


class ImageFile(NamedTuple):
    """One sample: its stable id in the split, its file, its label (the class's position in the sorted names)."""

    id: int
    path: Path
    label: int


class Corrupt(NamedTuple):
    """A file that could not be decoded, and why."""

    path: Path
    reason: str


class ImageTree(NamedTuple):
    """What an image tree holds.

    Args:
        splits: the samples of each split found, sorted by class and file name.
        classes: the sorted class names over all splits.
        left_out: the files of each split whose names end in none of `EXTENSIONS`, hidden ones aside.
    """

    splits: dict[str, list[ImageFile]]
    classes: list[str]
    left_out: dict[str, list[Path]]


def find_images(root: Path) -> ImageTree:
    """List the splits of an image tree.

    Args:
        root: a folder that holds `train/`, `val/` and optionally `test/`, each with one folder a class.

    Returns:
        The samples, the classes and what was left out.

    Raises:
        FileNotFoundError: if the folder or its splits are missing.
        ValueError: if a split holds no class folders or no images.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"data.root '{root}' is not a folder: give one that holds train/ and val/ class folders"
        )
    found = [split for split in SPLITS if (root / split).is_dir()]
    if not found:
        inside = ", ".join(sorted(p.name for p in root.iterdir())[:5]) or "nothing"
        raise FileNotFoundError(
            f"data.root '{root}' has no train/, val/ or test/ folder (it holds: {inside}): arrange the images as "
            f"{root}/train/<class>/<image> and {root}/val/<class>/<image>"
        )
    left_out: dict[str, list[Path]] = {split: [] for split in found}
    folders = {split: _list_split(root / split, left_out[split]) for split in found}
    classes = sorted({name for folder in folders.values() for name in folder.classes})
    position = {name: k for k, name in enumerate(classes)}
    splits = {
        split: [
            ImageFile(number, Path(path), position[folder.classes[label]])
            for number, (path, label) in enumerate(folder.samples)
        ]
        for split, folder in folders.items()
    }
    return ImageTree(splits, classes, left_out)


def read_rgb(path: Path) -> Image.Image:
    """Decode an image file to 8-bit RGB: grey-scale is repeated, alpha is dropped, 16 bits are scaled to 8.

    Of an animation the first frame is read.

    Raises:
        OSError: if the file is missing, no image, truncated, or of a pixel type whose range is not known.
    """
    try:
        with Image.open(path) as file:
            file.load()
            return _to_rgb(file, file.format)
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:  # how PIL's plugins report broken files
        raise OSError(str(error)) from error


def without_corrupt(files: Sequence[ImageFile], on_corrupt: OnCorrupt) -> tuple[list[ImageFile], list[Corrupt]]:
    """Decode every file once and part the readable from the unreadable, before any long work starts.

    JPEGs are decoded at an eighth of their size, which reads the whole file at a fraction of the cost.

    Args:
        files: the samples of a split.
        on_corrupt: "skip" leaves unreadable files out; "error" refuses the split at the first of them.

    Returns:
        The readable files in order, and the unreadable ones with the reason.

    Raises:
        ValueError: if a file is unreadable and `on_corrupt` is "error", or if no file is readable.
    """
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        checks = pool.map(_why_corrupt, [file.path for file in files])
        reasons = list(tqdm(checks, "checking images", len(files), leave=False, disable=len(files) < 1000))
    corrupt = [Corrupt(file.path, reason) for file, reason in zip(files, reasons, strict=True) if reason]
    if corrupt and on_corrupt == "error":
        raise ValueError(
            f"{len(corrupt)} of {len(files)} images cannot be read, the first is '{corrupt[0].path}' "
            f"({corrupt[0].reason}): mend or remove them, or set data.on_corrupt to 'skip'"
        )
    if len(corrupt) == len(files):
        raise ValueError(
            f"none of the {len(files)} files can be read as an image, e.g. '{corrupt[0].path}' ({corrupt[0].reason}): "
            "give a folder of images"
        )
    return [file for file, reason in zip(files, reasons, strict=True) if not reason], corrupt


def _list_split(folder: Path, left_out: list[Path]) -> ImageFolder:
    def is_image(path: str) -> bool:
        if path.lower().endswith(EXTENSIONS):
            return True
        if not Path(path).name.startswith("."):
            left_out.append(Path(path))
        return False

    try:
        listing = ImageFolder(str(folder), is_valid_file=is_image, allow_empty=True)
    except FileNotFoundError:
        raise ValueError(f"'{folder}' holds no class folders: put the images into one folder a class") from None
    if not listing.samples:
        raise ValueError(
            f"'{folder}' holds {len(listing.classes)} class folders but no images: files must end in "
            f"{', '.join(EXTENSIONS)}"
        )
    return listing


def _to_rgb(image: Image.Image, kind: str | None) -> Image.Image:
    """Bring a decoded image of the file format `kind` to 8-bit RGB."""
    # PIL calls 16-bit grey-scale "I;16", or "I" where it comes from a PGM or, in older releases, a PNG.
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        image = image.convert("I").point(lambda value: value / 256).convert("L")  # PIL alone would clip it at 255
    if image.mode in ("I", "F"):
        raise OSError(f"32-bit pixels (mode '{image.mode}') have no known range: save the image with 8 or 16 bits")
    if "transparency" in image.info:  # a palette with alpha has to pass through RGBA
        image = image.convert("RGBA")
    return image.convert("RGB")


def _why_corrupt(path: Path) -> str | None:
    """Return why the file cannot be decoded, or None if it can."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
            _to_rgb(image.crop((0, 0, 1, 1)), image.format)
    except UnidentifiedImageError:
        return "not an image file"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error)
    return None

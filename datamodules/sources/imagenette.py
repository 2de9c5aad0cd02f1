"""Imagenette (fast.ai): ten classes of ImageNet with 9,469 training and 3,925 validation images, in three sizes."""

from pathlib import Path

from torchvision.datasets import Imagenette

from datamodules.samples import ImageSource
from datamodules.sources.fetching import fetch_archive
from datamodules.sources.folder import list_folder

__all__ = ["SIZES", "list_imagenette"]

SIZES = {"full": "imagenette2", "320px": "imagenette2-320", "160px": "imagenette2-160"}


def list_imagenette(root: Path, size: str, download: bool) -> ImageSource:
    """List the images; the class folders are wnids.

    Args:
        root: the folder of `imagenette2`, `imagenette2-320` or `imagenette2-160`, or of its archive, which is then
            unpacked.
        size: "full", "320px" or "160px", the short side of the images.
        download: whether the archive may be fetched.

    Raises:
        OSError: if the images are missing.
    """
    url, md5 = Imagenette._ARCHIVES[size]
    return list_folder(fetch_archive(root, SIZES[size], url, md5, download))

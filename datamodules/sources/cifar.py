"""CIFAR-10 and CIFAR-100 of Krizhevsky, 2009, as torchvision fetches and reads them: 32 x 32 pixels, in memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100

from datamodules.samples import ImageSource, Samples, pack_names
from datamodules.sources.fetching import fetch_archive

__all__ = ["list_cifar"]

KINDS: dict[str, type[CIFAR10]] = {"cifar10": CIFAR10, "cifar100": CIFAR100}


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Opens images by their ids, (N, H, W, 3) uint8."""

    images: np.ndarray

    def __call__(self, number: int, name: str) -> np.ndarray:
        """(32, 32, 3) uint8."""
        return self.images[number]

    def state(self, number: int, name: str) -> str:
        """Nothing: torchvision compared the checksums."""
        return ""


def list_cifar(root: Path, name: str, download: bool) -> ImageSource:
    """List the training and the test images.

    Args:
        root: the folder of `cifar-10-batches-py` (`cifar-100-python`), or of the archive, which is then unpacked.
        name: "cifar10" or "cifar100".
        download: whether the archive may be fetched.

    Raises:
        OSError: if the files are missing or not those of their checksums.
    """
    kind = KINDS[name]
    folder = fetch_archive(root, kind.base_folder, kind.url, kind.tgz_md5, download)
    splits = {}
    for split in ("train", "test"):
        try:  # torchvision compares every file's MD5 before it is unpickled
            data = kind(root, train=split == "train")
        except RuntimeError as error:
            raise OSError(
                f"'{folder}' is damaged or incomplete: remove it, and it is unpacked anew from {kind.filename}"
            ) from error
        labels = np.array(data.targets, np.int64)
        names = pack_names([f"{split}/{data.classes[label]}/{k:05d}" for k, label in enumerate(data.targets)])
        splits[split] = Samples(np.arange(len(labels)), labels, names, _Pixels(data.data))
    return ImageSource(splits, list(data.classes))

"""The embedded images: 20 ImageNet photographs that ship inside the Foolbox package, with their ImageNet labels.

Real photographs for a demonstration of every stage, not evidence: two of them share a class, so there are 19 classes.
"""

import importlib.util
from pathlib import Path

import numpy as np
from timm.data import ImageNetInfo

from datamodules.samples import FilesBelow, ImageSource, Samples, pack_names

__all__ = ["list_photographs"]


def list_photographs() -> ImageSource:
    """List the photographs, the same ones for every split.

    Returns:
        One sample a photograph; the classes in the order of their ImageNet indices.

    Raises:
        FileNotFoundError: if the installed Foolbox brings no photographs.
    """
    spec = importlib.util.find_spec("foolbox")  # finds the package's folder without importing it
    folder = Path(next(iter((spec and spec.submodule_search_locations) or ["foolbox"]))) / "data"
    paths = sorted(folder.glob("imagenet_*_*.jpg"))  # imagenet_<number>_<ImageNet index>.jpg
    if not paths:
        raise FileNotFoundError(f"no embedded photographs in '{folder}': install foolbox 3.3.4, or set data.root")
    indices, labels = np.unique([int(path.stem.split("_")[-1]) for path in paths], return_inverse=True)
    names = pack_names([path.name for path in paths])
    photographs = Samples(np.arange(len(paths)), labels.astype(np.int64), names, FilesBelow(folder))
    wnids = [ImageNetInfo().index_to_label_name(int(index)) for index in indices]
    return ImageSource(dict.fromkeys(("train", "val", "test"), photographs), wnids, wnids)

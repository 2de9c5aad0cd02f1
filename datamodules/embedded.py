"""The embedded images: 20 ImageNet photographs that ship inside the Foolbox package, with their ImageNet labels.

Real photographs for a demonstration of every stage, not evidence: two of them share a class, so there are 19 classes.
"""

import importlib.util
from pathlib import Path

from datamodules.files import ImageFile

__all__ = ["embedded_photographs"]


def embedded_photographs() -> tuple[list[ImageFile], list[int]]:
    """List the photographs.

    Returns:
        One sample a photograph (the label is the class's position in the second value), and the sorted ImageNet
        indices of their classes.

    Raises:
        FileNotFoundError: if the installed Foolbox brings no photographs.
    """
    spec = importlib.util.find_spec("foolbox")  # finds the package's folder without importing it
    folder = Path(next(iter((spec and spec.submodule_search_locations) or ["foolbox"]))) / "data"
    paths = sorted(folder.glob("imagenet_*_*.jpg"))  # imagenet_<number>_<ImageNet index>.jpg
    if not paths:
        raise FileNotFoundError(f"no embedded photographs in '{folder}': install foolbox 3.3.4, or set data.root")
    indices = [int(path.stem.split("_")[-1]) for path in paths]
    classes = sorted(set(indices))
    labels = [classes.index(index) for index in indices]
    return [ImageFile(number, *sample) for number, sample in enumerate(zip(paths, labels, strict=True))], classes

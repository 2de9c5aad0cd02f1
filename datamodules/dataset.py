"""One split as a dataset of samples, which the loaders bring to the project's batch contract.

A sample is {"image": (3, crop, crop) uint8; "label": int; "id": int, stable in its split}.
"""

from functools import lru_cache
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from datamodules.decoding import Interpolation, LostImageError, center_view, read_pixels
from datamodules.samplers import derive_seed
from datamodules.samples import Samples

__all__ = ["ImageDataset", "RandomViews", "Sample"]

# Views of a photograph come from one decoding. Of the module, since a dataset with a cache could not be pickled, as
# worker processes under spawn and forkserver need.
_read_once = lru_cache(maxsize=32)(read_pixels)


class Sample(TypedDict):
    """What a dataset yields; collated, every value gains a leading batch dimension."""

    image: Tensor
    label: int
    id: int


class ImageDataset(Dataset):
    """Images resized by their short side and cropped at the center.

    Args:
        samples: the samples, all of which could be read.
        resize: length of the short side after resizing, in pixels.
        crop: side of the square that is cut out, in pixels.
        interpolation: "bilinear" or "bicubic", both antialiased.
    """

    def __init__(self, samples: Samples, resize: int, crop: int, interpolation: Interpolation) -> None:
        self.samples = samples
        self.resize = resize
        self.crop = crop
        self.interpolation: Interpolation = interpolation

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> Sample:
        try:
            pixels = read_pixels(self.samples.encoded(position))
        except OSError as error:
            raise LostImageError(
                f"image '{self.samples.name(position)}' could be read when the run began and cannot be now ({error}): "
                "put it back, or start anew and it is left out"
            ) from None
        view = center_view(pixels, self.resize, self.crop, self.interpolation)
        return {
            "image": view,
            "label": int(self.samples.labels[position]),
            "id": int(self.samples.ids[position]),
        }


class RandomViews(ImageDataset):
    """Several seeded random-resized crops of every file, half of them mirrored; the same ones in every epoch.

    View v of file f is sample f * views + v, and depends on (seed, that number) alone.

    Args:
        samples: the photographs.
        views: crops a photograph.
        seed: what the crops depend on; splits differ in it.
        crop: side of a view, in pixels.
        interpolation: as in `ImageDataset`.
    """

    def __init__(self, samples: Samples, views: int, seed: int, crop: int, interpolation: Interpolation) -> None:
        super().__init__(samples, crop, crop, interpolation)
        self.views = views
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples) * self.views

    def __getitem__(self, position: int) -> Sample:
        photograph = position // self.views
        pixels = _read_once(self.samples.encoded(photograph))  # type: ignore[arg-type]  # photographs are files
        with torch.random.fork_rng(devices=[]):  # torchvision's crop draws from the global generator
            torch.manual_seed(derive_seed(self.seed, position))
            box = v2.RandomResizedCrop(self.crop).make_params([pixels])
            mirrored = bool(torch.rand(()) < 0.5)
        size, mode = [self.crop, self.crop], InterpolationMode(self.interpolation)
        view = functional.resized_crop(pixels, **box, size=size, interpolation=mode)
        view = functional.horizontal_flip(view) if mirrored else view
        return {"image": view, "label": int(self.samples.labels[photograph]), "id": position}

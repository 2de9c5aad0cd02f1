"""One split as a dataset of samples in the project's batch contract.

Contract: {"image": (3, crop, crop) float32 in [0, 1], not normalised; "label": int; "id": int, stable in its split}.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypedDict

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from datamodules.files import ImageFile, read_rgb
from datamodules.samplers import derive_seed

__all__ = ["ImageDataset", "Interpolation", "RandomViews", "Sample"]

# Views of a photograph come from one decoding. Of the module, since a dataset with a cache could not be pickled, as
# worker processes under spawn and forkserver need.
_read_once = lru_cache(maxsize=32)(read_rgb)

Interpolation = Literal["bilinear", "bicubic"]


class Sample(TypedDict):
    """What a dataset yields; collated, every value gains a leading batch dimension."""

    image: Tensor
    label: int
    id: int


class ImageDataset(Dataset):
    """Images resized by their short side and cropped at the center.

    Args:
        files: the samples.
        resize: length of the short side after resizing, in pixels.
        crop: side of the square that is cut out, in pixels.
        interpolation: "bilinear" or "bicubic", both antialiased.
    """

    def __init__(self, files: Sequence[ImageFile], resize: int, crop: int, interpolation: Interpolation) -> None:
        self.files = files
        self.crop = crop
        self.mode = InterpolationMode(interpolation)
        self.center = v2.Compose([v2.Resize(resize, self.mode), v2.CenterCrop(crop)])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> Sample:
        file = self.files[position]
        return self._sample(self.center(read_rgb(file.path)), file.label, file.id)

    @staticmethod
    def _sample(image: Image.Image, label: int, sample_id: int) -> Sample:
        pixels = functional.to_dtype(functional.pil_to_tensor(image), torch.float32, scale=True)
        return {"image": pixels, "label": label, "id": sample_id}


class RandomViews(ImageDataset):
    """Several seeded random-resized crops of every file, half of them mirrored; the same ones in every epoch.

    View v of file f is sample f * views + v, and depends on (seed, that number) alone.

    Args:
        files: the photographs.
        views: crops a photograph.
        seed: what the crops depend on; splits differ in it.
        crop: side of a view, in pixels.
        interpolation: as in `ImageDataset`.
    """

    def __init__(
        self, files: Sequence[ImageFile], views: int, seed: int, crop: int, interpolation: Interpolation
    ) -> None:
        super().__init__(files, crop, crop, interpolation)
        self.views = views
        self.seed = seed

    def __len__(self) -> int:
        return len(self.files) * self.views

    def __getitem__(self, position: int) -> Sample:
        file = self.files[position // self.views]
        image = _read_once(file.path)
        with torch.random.fork_rng(devices=[]):  # torchvision's crop draws from the global generator
            torch.manual_seed(derive_seed(self.seed, position))
            box = v2.RandomResizedCrop(self.crop).make_params([image])
            mirrored = bool(torch.rand(()) < 0.5)
        view = functional.resized_crop(image, **box, size=[self.crop, self.crop], interpolation=self.mode)
        return self._sample(functional.horizontal_flip(view) if mirrored else view, file.label, position)

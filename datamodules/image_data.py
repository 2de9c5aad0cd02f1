"""The data module: images in [0, 1] with label and stable sample id, from a folder tree or the embedded photographs."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from timm.data import ImageNetInfo
from torch.utils.data import DataLoader
from typing_extensions import override

from codes import Preprocessing
from datamodules.dataset import ImageDataset, Interpolation, RandomViews
from datamodules.embedded import embedded_photographs
from datamodules.files import EXTENSIONS, Corrupt, ImageFile, OnCorrupt, find_images, without_corrupt
from datamodules.loaders import ResumableLoader
from datamodules.samplers import ShardSampler, ShuffleSampler, derive_seed

__all__ = ["ImageData"]

Split = Literal["train", "val", "test"]
STAGE_SPLITS: dict[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("train", "val"),
}


class ImageData(pl.LightningDataModule):
    """ImageNet-style images for every stage.

    Batches are {"image": (B, 3, crop, crop) float32 in [0, 1], "label": (B,) int64, "id": (B,) int64}. Normalisation
    belongs to the backbone.

    Args:
        root: a folder with train/, val/ and optionally test/ trees of class folders; null takes the embedded
            photographs: seeded crops of them to train and validate, their center crops to attack.
        batch_size: images in a training step, over all processes together.
        resize: short side after resizing, in pixels; null takes the backbone's own.
        crop: side of the centered square that is cut out, in pixels; null takes the backbone's own.
        interpolation: how images are resized, "bilinear" or "bicubic"; null takes the backbone's own.
        views: training crops of each embedded photograph (validation takes a quarter); no effect with a root.
        attack_images: how many images the attack stage takes, drawn evenly from its split by the seed; null takes all.
        on_corrupt: what an unreadable file does: "skip" leaves it out and counts it, "error" refuses the data.
        num_workers: processes that decode images.
        seed: what shuffling and random crops depend on.

    Attributes:
        preprocessing: holds resize, crop and interpolation as they apply: those given, else those of the backbone that
            `adopt` was told, else 256, 224 and bicubic.
        classes: the class names, in label order; known after `setup`.
        imagenet_indices: for each class its ImageNet-1k index, or None if the classes are not ImageNet's.
        corrupt: the unreadable files by split.
        left_out: by split, the files whose names do not end as an image's does.

    Raises:
        ValueError: if a value is out of its range, or the images cannot be used as they are.
        FileNotFoundError: if root or its splits are missing.
    """

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 64,
        resize: int | None = None,
        crop: int | None = None,
        interpolation: Interpolation | None = None,
        views: int = 40,
        attack_images: int | None = None,
        on_corrupt: OnCorrupt = "skip",
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if root is not None and not Path(root).is_dir():
            raise FileNotFoundError(
                f"data.root '{root}' is not a folder: give one that holds train/ and val/ class folders"
            )
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("crop", crop, 1),
            ("resize", resize, crop or 1),
            ("views", views, 4),
            ("attack_images", attack_images, 1),
            ("num_workers", num_workers, 0),
            ("seed", seed, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"data.{name} is {value}: it must be at least {least}")
        self.root = root
        self.batch_size = batch_size
        self.views = views
        self.attack_images = attack_images
        self.on_corrupt: OnCorrupt = on_corrupt
        self.num_workers = num_workers
        self.seed = seed
        given = {"resize": resize, "crop": crop, "interpolation": interpolation}
        self._given: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self.adopt(Preprocessing(interpolation="bicubic"))
        self.classes: list[str] = []
        self.imagenet_indices: list[int] | None = None
        self.corrupt: dict[str, list[Corrupt]] = {}
        self.left_out: dict[str, list[Path]] = {}
        self._files: dict[str, list[ImageFile]] = {}
        self._datasets: dict[str, ImageDataset] = {}

    def adopt(self, own: Preprocessing) -> None:
        """Take a backbone's own resize, crop and interpolation where none was given; call it before `setup`."""
        self.preprocessing = replace(own, **self._given)

    @override
    def setup(self, stage: str) -> None:
        """List, check and wrap the splits that the stage needs ("fit", "validate", "test" or "predict")."""
        resize, crop = self.preprocessing.resize, self.preprocessing.crop
        if resize < crop:
            raise ValueError(f"data.resize is {resize}: it must be at least data.crop, which is {crop}; give both")
        if not self._files:
            self._list()
        for split in STAGE_SPLITS[stage]:
            if split not in self._datasets:
                self._datasets[split] = self._dataset(split)

    @override
    def train_dataloader(self) -> ResumableLoader:
        """Shuffled global batches of equal length; resumable in mid-epoch."""
        dataset = self._datasets["train"]
        sampler = ShuffleSampler(dataset, self.batch_size, self.seed, *self._world())
        local = self.batch_size // sampler.num_replicas
        return ResumableLoader(dataset, local, sampler=sampler, drop_last=True, **self._workers())

    @override
    def val_dataloader(self) -> DataLoader:
        """Every validation image once, over all processes."""
        return self._evaluation_loader("val")

    @override
    def test_dataloader(self) -> DataLoader:
        """Every image to attack once, over all processes."""
        return self._evaluation_loader("test")

    @override
    def predict_dataloader(self) -> dict[str, DataLoader]:
        """Every image of the training and the validation split once, by split."""
        return {split: self._evaluation_loader(split) for split in STAGE_SPLITS["predict"]}

    def _list(self) -> None:
        info = ImageNetInfo()
        if self.root is None:
            photographs, self.imagenet_indices = embedded_photographs()
            self.classes = [info.index_to_description(index) for index in self.imagenet_indices]
            self._files = {"train": photographs, "val": photographs, "test": photographs}
            return
        self._files, self.classes, self.left_out = find_images(Path(self.root))
        for split, paths in self.left_out.items():
            if paths:
                named = ", ".join(path.name for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
                rank_zero_warn(
                    f"{split}: left out {len(paths)} files ({named}): image files end in {', '.join(EXTENSIONS)}"
                )
        index_of = {wnid: index for index, wnid in enumerate(info.label_names())}
        if all(name in index_of for name in self.classes):
            self.imagenet_indices = [index_of[name] for name in self.classes]
        if len(self.classes) == 1:
            rank_zero_warn(
                f"'{self.root}' has a single class, '{self.classes[0]}': measures between classes are undefined"
            )

    def _dataset(self, split: Split) -> ImageDataset:
        source = "val" if split == "test" and "test" not in self._files else split
        if source not in self._files:
            raise FileNotFoundError(
                f"data.root '{self.root}' has no {source}/ folder (it has: {', '.join(self._files)})"
            )
        files, self.corrupt[split] = without_corrupt(self._files[source], self.on_corrupt)
        for path, reason in self.corrupt[split]:
            rank_zero_info(f"skipped: '{path}' ({reason})")
        if self.corrupt[split]:
            rank_zero_warn(
                f"{split}: skipped {len(self.corrupt[split])} of {len(self._files[source])} unreadable images"
            )
        wanted = self.preprocessing
        if split == "test":
            files = self._drawn(files)
        elif self.root is None:
            views = self.views if split == "train" else self.views // 4
            seed = derive_seed(self.seed, split == "val")
            return RandomViews(files, views, seed, wanted.crop, wanted.interpolation)
        return ImageDataset(files, wanted.resize, wanted.crop, wanted.interpolation)

    def _drawn(self, files: list[ImageFile]) -> list[ImageFile]:
        """The files to attack, in their order: all of them, or a seeded draw without replacement."""
        if self.attack_images is None or self.attack_images >= len(files):
            return files
        generator = torch.Generator().manual_seed(self.seed)
        chosen = torch.randperm(len(files), generator=generator)[: self.attack_images]
        return [files[position] for position in chosen.sort().values.tolist()]

    def _evaluation_loader(self, split: Split) -> DataLoader:
        sampler = ShardSampler(self._datasets[split], *self._world())
        local = max(1, self.batch_size // sampler.num_replicas)
        # By name: Lightning makes the loader of a prediction anew, and fails on a batch size given by position.
        return DataLoader(self._datasets[split], batch_size=local, sampler=sampler, **self._workers())

    def _world(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _workers(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": self.trainer is not None and self.trainer.accelerator.__class__.__name__ == "CUDAAccelerator",
        }

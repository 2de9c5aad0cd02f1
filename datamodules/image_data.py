"""The data module: images in [0, 1] with label and stable sample id, from any of the sources."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from typing_extensions import override

from codes import Preprocessing
from datamodules.dataset import ImageDataset, RandomViews
from datamodules.decoding import LARGEST, Interpolation
from datamodules.labels import LabelMap, Matching, display_names, map_labels
from datamodules.loaders import ImageLoader, TrainingLoader
from datamodules.readable import Corrupt, OnCorrupt, ReadableImages
from datamodules.samplers import ShardSampler, ShuffleSampler, derive_seed
from datamodules.samples import SPLITS, ImageSource, printable
from datamodules.sources import check_source, open_source
from datamodules.sources.folder import EXTENSIONS
from datamodules.subsets import draw_per_class, only_classes, only_listed, split_off_validation

__all__ = ["ImageData"]

Split = Literal["train", "val", "test"]
STAGE_SPLITS: dict[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("train", "val"),
}


class ImageData(pl.LightningDataModule):
    """Images for every stage.

    Batches are {"image": (B, 3, crop, crop) float32 in [0, 1], "label": (B,) int64, "id": (B,) int64}. Normalisation
    belongs to the backbone. Where a source has no validation images, they are split off its training images; the attack
    stage takes the split "test", or else "val".

    Args:
        root: the folder of the images, or where they shall be put; without it and a source, the embedded photographs:
            seeded crops of them to train and validate, their center crops to attack.
        source: "folder" (train/, val/, test/ or nothing, then class folders), "imagenet" (as torchvision lays it out),
            "imagenette/full", "imagenette/320px", "imagenette/160px", "cifar10", "cifar100", "webdataset" (shards), or
            "huggingface/NAME"; null takes the folder root, or the embedded photographs.
        download: whether imagenette, cifar and huggingface may fetch what is missing.
        batch_size: images in a training step, over all processes together.
        resize: short side after resizing, in pixels; null takes the backbone's own.
        crop: side of the centered square that is cut out, in pixels; null takes the backbone's own.
        interpolation: how images are resized, "bilinear" or "bicubic"; null takes the backbone's own.
        views: training crops of each embedded photograph (validation takes a quarter); no effect on other sources.
        attack_images: how many images the attack stage takes, drawn evenly from its split by the seed; null takes all.
        val_share: share of each class's training images that become validation images where a source has none.
        classes: only these, by name or wnid; null takes all.
        per_class: only so many images of each class, drawn by the seed: a number for training and validation, numbers
            by split ({train: 500}), or "equal": as many of each class in both, to compare a map of the one with a map
            of the other; null takes all.
        ids: a text file of the only images to take, one a line, as split/id or by path; splits that it does not name
            stay whole.
        mapping: how classes are found among the backbone's: "wnid", "name" (ImageNet's names, e.g. goldfish), "order"
            (class k of the data is class k of the backbone) or "none"; null takes wnid where the classes are wnids of
            ImageNet-1k.
        on_corrupt: what an unreadable file does: "skip" leaves it out and counts it, "error" refuses the data.
        num_workers: processes that decode images.
        prefetch_factor: batches that each of them decodes ahead.
        seed: what shuffling, splitting, drawing and random crops depend on.

    Attributes:
        preprocessing: holds resize, crop and interpolation as they apply: those given, else those of the backbone that
            `adopt` was told, else 256, 224 and bicubic.
        classes: the class names, in label order; known after `setup`.
        label_map: which class of the backbone each class is, or None if that is not known; known after `setup`.
        corrupt: the unreadable images by split.
        left_out: by split, the files whose names do not end as an image's does.

    Raises:
        ValueError: if a value is out of its range, or the images cannot be used as they are.
        OSError: if images are missing, or cannot be fetched.
    """

    def __init__(
        self,
        root: str | None = None,
        source: str | None = None,
        download: bool = False,
        batch_size: int = 64,
        resize: int | None = None,
        crop: int | None = None,
        interpolation: Interpolation | None = None,
        views: int = 40,
        attack_images: int | None = None,
        val_share: float = 0.1,
        classes: list[str] | None = None,
        per_class: int | Literal["equal"] | dict[Split, int] | None = None,
        ids: str | None = None,
        mapping: Matching | None = None,
        on_corrupt: OnCorrupt = "skip",
        num_workers: int = 2,
        prefetch_factor: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_source(source, root)
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("crop", crop, 1),
            ("resize", resize, crop or 1),
            ("views", views, 4),
            ("attack_images", attack_images, 1),
            *(("per_class", number, 1) for number in _numbers(per_class)),
            ("num_workers", num_workers, 0),
            ("prefetch_factor", prefetch_factor, 1),
            ("seed", seed, 0),
        ):
            if value is not None and not least <= value <= LARGEST.get(name, value):
                bounds = f"at least {least}" + (f" and at most {LARGEST[name]}" if name in LARGEST else "")
                raise ValueError(f"data.{name} is {value}: it must be {bounds}")
        if isinstance(per_class, dict) and (unknown := per_class.keys() - set(SPLITS)):
            raise ValueError(f"data.per_class names '{unknown.pop()}': splits are {', '.join(SPLITS)}")
        if not 0 < val_share < 1:
            raise ValueError(f"data.val_share is {val_share}: it must lie between 0 and 1")
        if classes is not None and not classes:
            raise ValueError("data.classes is empty: name at least one class, or leave it out to take all")
        if ids is not None and not Path(ids).is_file():
            raise FileNotFoundError(f"data.ids '{ids}' is not a file: give a text file, a split/id or path a line")
        self.root = root
        self.source = source
        self.download = download
        self.batch_size = batch_size
        self.views = views
        self.attack_images = attack_images
        self.val_share = val_share
        self.per_class = per_class
        self.ids = ids
        self.mapping: Matching | None = mapping
        self.on_corrupt: OnCorrupt = on_corrupt
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor
        self.seed = seed
        given = {"resize": resize, "crop": crop, "interpolation": interpolation}
        self._given: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self.adopt(Preprocessing(interpolation="bicubic"))
        self.classes: list[str] = []
        self.label_map: LabelMap | None = None
        self.corrupt: dict[str, list[Corrupt]] = {}
        self.left_out: dict[str, list[str]] = {}
        self._only = classes
        self._images: ReadableImages | None = None
        self._datasets: dict[str, ImageDataset] = {}

    @property
    def embedded(self) -> bool:
        """Whether the images are the embedded photographs."""
        return self.root is None and self.source is None

    def adopt(self, own: Preprocessing) -> None:
        """Take a backbone's own resize, crop and interpolation where none was given; call it before `setup`."""
        self.preprocessing = replace(own, **self._given)

    def listed(self) -> ImageSource:
        """The images of every split as they are listed; none has been read."""
        return self._readable().source

    def describe(self) -> dict[str, Any]:
        """Identify the images to train and validate on without reading any: where it differs, codes are other codes.

        Returns:
            Plain types: by split the number of its images and a digest of their listing, the class names, and what
            else decides which of them are taken, and how.
        """
        splits = {name: images for name, images in self.listed().splits.items() if name in STAGE_SPLITS["predict"]}
        images = {split: {"images": len(samples), "listing": samples.digest()} for split, samples in splits.items()}
        found: dict[str, Any] = images | {"classes": self.classes, "on_corrupt": self.on_corrupt}
        if self.per_class is not None:
            found |= {"per_class": self.per_class, "seed": self.seed}
        return found | ({"views": self.views, "seed": self.seed} if self.embedded else {})

    @override
    def setup(self, stage: str) -> None:
        """List, check and wrap the splits that the stage needs ("fit", "validate", "test" or "predict")."""
        if (resize := self.preprocessing.resize) < (crop := self.preprocessing.crop):
            raise ValueError(f"data.resize is {resize}: it must be at least data.crop, which is {crop}; give both")
        for split in STAGE_SPLITS[stage]:
            if split not in self._datasets:
                self._datasets[split] = self._dataset(split, self._readable())

    @override
    def train_dataloader(self) -> TrainingLoader:
        """Shuffled global batches of equal length; resumable in mid-epoch."""
        dataset = self._datasets["train"]
        sampler = ShuffleSampler(dataset, self.batch_size, self.seed, *self._world())
        local = self.batch_size // sampler.num_replicas
        return TrainingLoader(dataset, local, sampler=sampler, drop_last=True, **self._workers())

    @override
    def val_dataloader(self) -> ImageLoader:
        """Every validation image once, over all processes."""
        return self.every_image("val")

    @override
    def test_dataloader(self) -> ImageLoader:
        """Every image to attack once, over all processes."""
        return self.every_image("test")

    @override
    def predict_dataloader(self) -> dict[str, ImageLoader]:
        """Every image of the training and the validation split once, by split."""
        return {split: self.every_image(split) for split in STAGE_SPLITS["predict"]}

    def every_image(self, split: Split) -> ImageLoader:
        """Every image of a split once, over all processes, whatever the stage; FileNotFoundError without the split."""
        if split not in self._datasets:
            self._datasets[split] = self._dataset(split, self._readable())
        sampler = ShardSampler(self._datasets[split], *self._world())
        local = max(1, self.batch_size // sampler.num_replicas)
        # By name: Lightning makes the loader of a prediction anew, and fails on a batch size given by position.
        return ImageLoader(self._datasets[split], batch_size=local, sampler=sampler, **self._workers())

    def _readable(self) -> ReadableImages:
        if self._images is None:
            self._images = ReadableImages(self._list(), self.on_corrupt)
        return self._images

    def _list(self) -> ImageSource:
        source = open_source(self.source, None if self.root is None else Path(self.root), self.download)
        self.left_out = source.left_out
        for split, names in self.left_out.items():
            if names:
                named = ", ".join(Path(name).name for name in names[:3]) + (", ..." if len(names) > 3 else "")
                rank_zero_warn(
                    f"{split}: left out {len(names)} files ({named}): image files end in {', '.join(EXTENSIONS)}"
                )
        source = split_off_validation(source, self.val_share, self.seed)
        if self._only is not None:
            source = only_classes(source, self._only)
        if self.ids is not None:
            source = only_listed(source, Path(self.ids))
        self.label_map = map_labels(source, self.mapping)
        self.classes = [printable(name) for name in display_names(source)]
        if len(self.classes) == 1:
            rank_zero_warn(
                f"'{self.root}' has a single class, '{self.classes[0]}': measures between classes are undefined"
            )
        return source

    def _dataset(self, split: Split, images: ReadableImages) -> ImageDataset:
        splits = images.source.splits
        origin = "val" if split == "test" and "test" not in splits else split
        if origin not in splits:
            raise FileNotFoundError(f"data.root '{self.root}' has no {origin}/ folder (it has: {', '.join(splits)})")
        both = self.per_class == "equal" and origin != "test"

        def draw(usable: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            whole = origin == "test" and not isinstance(self.per_class, dict)
            drawn = draw_per_class(images.source, usable, None if whole else self.per_class, self.seed)
            return {origin: self._to_attack(drawn[origin], len(usable[origin]))} if split == "test" else drawn

        chosen = images.choose(["train", "val"] if both else [origin], draw)[origin]
        self.corrupt[split] = images.corrupt(origin)
        for name, reason in self.corrupt[split]:
            rank_zero_info(f"skipped: '{name}' ({reason})")
        if self.corrupt[split]:
            rank_zero_warn(f"{split}: skipped {len(self.corrupt[split])} of {len(splits[origin])} unreadable images")
        samples, wanted = splits[origin].take(chosen), self.preprocessing
        if self.embedded and split != "test":
            views = self.views if split == "train" else self.views // 4
            seed = derive_seed(self.seed, split == "val")
            return RandomViews(samples, views, seed, wanted.crop, wanted.interpolation)
        return ImageDataset(samples, wanted.resize, wanted.crop, wanted.interpolation)

    def _to_attack(self, positions: np.ndarray, size: int) -> np.ndarray:
        """The positions to attack of a split of some size, sorted: all, or a seeded draw without replacement."""
        if self.attack_images is None or self.attack_images >= len(positions):
            return positions
        order = torch.randperm(size, generator=torch.Generator().manual_seed(self.seed)).numpy()
        return np.sort(order[np.isin(order, positions)][: self.attack_images])

    def _world(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _workers(self) -> dict[str, Any]:
        device = self.trainer.strategy.root_device if self.trainer else None
        return {
            "num_workers": self.num_workers,
            "prefetch_factor": self.prefetch_factor if self.num_workers else None,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": device is not None and device.type == "cuda",
            "device": device,
        }


def _numbers(per_class: int | str | Mapping[Split, int] | None) -> list[int]:
    if isinstance(per_class, Mapping):
        return list(per_class.values())
    return [per_class] if isinstance(per_class, int) else []

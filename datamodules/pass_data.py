"""The one pass over the images: a data module that gives those whose codes a store lacks.

A pass costs a thousand times what a map's epoch on codes costs, so it happens once, for all depths.
"""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytorch_lightning as pl
import torch
import torchvision
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch.utils.data import Dataset, default_collate
from typing_extensions import override

from codes import CodeExtractor
from codes.store import CodeStore, StoreType, explain_absence, find_store, make_recipe, store_folder
from codes.store_files import size_text
from codes.store_writer import Batch, StoreWriter
from datamodules.image_data import ImageData
from datamodules.loaders import ImageLoader
from datamodules.samplers import ShardSampler

__all__ = ["PassData"]

ROWS = 64  # of a batch of the pass, or data.batch_size where that is less: enough to keep a device busy


class PassData(pl.LightningDataModule):
    """The images whose codes a store lacks, in the store's own batches, for one `Trainer.predict` with `CodeWriter`.

    A batch is that of `ImageData` with "batch", its number.

    Args:
        images: the images.
        extractor: what makes the codes.
        base: the folder of the stores.
        dtype: in what the codes are kept.
        precision: in what the backbone computes, the Trainer's.

    Attributes:
        store: the store that serves, or None where it has to be filled.
        writer: what fills it; known after `setup`.
    """

    def __init__(
        self, images: ImageData, extractor: CodeExtractor, base: str | Path, dtype: StoreType, precision: str
    ) -> None:
        super().__init__()
        self.images, self.extractor, self.base = images, extractor, Path(base)
        self.preprocessing = images.preprocessing
        self.recipe = make_recipe(extractor, images.preprocessing, images.describe(), dtype, precision)
        self.store = find_store(base, self.recipe)
        self.writer: StoreWriter | None = None

    @property
    def classes(self) -> list[str]:
        """The class names, in label order."""
        return self.images.classes

    @override
    def setup(self, stage: str) -> None:
        """Check the images, make the files, and find out which batches are missing. A collective."""
        assert self.trainer is not None
        self.images.trainer = self.trainer
        self.images.setup("predict")
        self.loaders = self.images.predict_dataloader()
        rows = {split: len(loader.dataset) for split, loader in self.loaders.items()}  # type: ignore[arg-type]
        folder = store_folder(self.base, self.recipe)
        batch = min(ROWS, self.images.batch_size)
        self.writer = StoreWriter(folder, self.recipe, self.extractor.dimensions, rows, batch)
        if self.trainer.is_global_zero:
            self._announce(self.writer, rows)
            if warning := self.writer.create(self._made_with()):
                rank_zero_warn(warning)
        self.trainer.strategy.barrier("store made")
        missing = self.writer.open()
        if done := len(self.writer.batches) - len(missing):
            rank_zero_info(f"{done} of {len(self.writer.batches)} batches are there from an interrupted pass")
        self.trainer.strategy.barrier("store opened")
        world, rank = self.trainer.world_size, self.trainer.global_rank
        # No process may be without a batch: an idle one repeats one, which gives the same rows.
        self._mine = missing[rank::world] or missing[:1] or [0]

    @override
    def predict_dataloader(self) -> list[ImageLoader]:
        """The missing batches of this process."""
        assert self.writer is not None
        loader = next(iter(self.loaders.values()))
        dataset = Batches({split: each.dataset for split, each in self.loaders.items()}, self.writer.batches)
        sampler = _Chosen(dataset, self._mine)
        names = ("num_workers", "prefetch_factor", "pin_memory", "device")
        workers: dict[str, Any] = {name: getattr(loader, name) for name in names}
        return [ImageLoader(dataset, batch_size=None, sampler=sampler, **workers)]

    def filled(self) -> CodeStore:
        """Open the store after the pass.

        Raises:
            ValueError: if the pass did not reach its end.
        """
        store = self.store or find_store(self.base, self.recipe)
        if store is None:
            folder = store_folder(self.base, self.recipe)
            raise ValueError(f"the store '{folder}' is not whole yet: run the same command again, without limits")
        return store

    def about(self) -> dict[str, dict[str, Any]]:
        """By split, the files that were skipped and why."""
        return {
            split: {"skipped": [list(each) for each in corrupt]}
            for split, corrupt in self.images.corrupt.items()
            if split in self.loaders
        }

    def _announce(self, writer: StoreWriter, rows: Mapping[str, int]) -> None:
        if not writer.part.exists():
            rank_zero_info(explain_absence(self.base, self.recipe))
        counts = " + ".join(f"{count} {split}" for split, count in rows.items())
        rank_zero_info(
            f"codes of {counts} images at {len(self.extractor.depths)} depths: {size_text(writer.bytes_needed)} of "
            f"{self.recipe['dtype']} in '{writer.folder}'"
        )

    def _made_with(self) -> dict[str, str]:
        packages = {module.__name__: str(module.__version__) for module in (torch, torchvision, PIL, np)}
        return {"python": platform.python_version(), **packages, "device": self.extractor.backbone.mean.device.type}


class Batches(Dataset):
    """Batches of consecutive samples, each one item.

    Args:
        datasets: split to dataset.
        batches: the rows of each batch.
    """

    def __init__(self, datasets: Mapping[str, Dataset], batches: Sequence[Batch]) -> None:
        self.datasets, self.batches = dict(datasets), batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> dict[str, Any]:
        split, first, last = self.batches[number]
        samples = [self.datasets[split][position] for position in range(first, last)]
        return default_collate(samples) | {"batch": number}


class _Chosen(ShardSampler):
    """Chosen positions: a sampler of Lightning's kind, which it leaves alone."""

    def __init__(self, dataset: Dataset, positions: Sequence[int]) -> None:
        super().__init__(dataset)
        self.positions = positions  # type: ignore[assignment]

"""The data module of codes: a store's rows in the images' batch contract."""

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import override

from codes import CodeExtractor, Preprocessing, Statistic
from codes.store import CodeStore, explain_differences, make_recipe, serves
from datamodules.loaders import Loader, ResumableLoader
from datamodules.samplers import ShardSampler, ShuffleSampler

__all__ = ["CodeData", "FitSplit", "StoredCodes"]

FitSplit = Literal["train", "val"]


class CodeData(pl.LightningDataModule):
    """Codes of a store, for every stage that needs no images.

    Batches are {"codes": {depth: (B, D) float32}, "dead": {depth: (B,) int64}, "label": (B,) int64, "id": (B,) int64},
    in the order in which `ImageData` gives the images. In a Trainer's hands the codes are those of the module's depths
    and statistics, of which the store may hold more.

    Args:
        folder: the store.
        batch_size: codes in a training step, over all processes together.
        fit_split: the split whose codes maps are fit on: "train", or "val" for a map of unseen images (SOM-val).
        num_workers: processes that read codes; null takes none, or 4 where the store exceeds half of the memory: what
            comes from the disk is waited for, and what is in memory is there sooner than a process can hand it over.
        seed: what shuffling depends on.

    Attributes:
        store: the store.
        classes: the class names, in label order.
        preprocessing: how the images were prepared.

    Raises:
        FileNotFoundError: if the folder holds no whole store.
        ValueError: if a value is out of its range.
    """

    def __init__(
        self,
        folder: str | Path,
        batch_size: int = 64,
        fit_split: FitSplit = "train",
        num_workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.store = CodeStore(folder)
        if fit_split not in self.store.rows:
            raise ValueError(f"fit_split is '{fit_split}': the store holds {', '.join(self.store.rows)}")
        self.batch_size = batch_size
        self.fit_split = fit_split
        self.num_workers = _readers(self.store) if num_workers is None else num_workers
        self.seed = seed
        self.classes = self.store.classes
        transform = self.store.recipe["transform"]
        colors = {name: tuple(transform[name]) for name in ("mean", "std")}
        self.preprocessing = Preprocessing(**transform | colors)
        self._depths: Sequence[str] = self.store.depths
        self._statistics: Sequence[Statistic] = self.store.statistics

    @override
    def setup(self, stage: str) -> None:
        """Choose the depths and statistics of the module, and refuse a module of another network."""
        if self.trainer is None:
            return
        extractor: CodeExtractor = self.trainer.lightning_module.extractor  # type: ignore[assignment]
        recipe = self.store.recipe
        wanted = make_recipe(extractor, self.preprocessing, recipe["data"], recipe["dtype"], recipe["precision"])
        if not serves(recipe, wanted):
            raise ValueError(
                f"the store '{self.store.folder}' does not hold the codes that the maps need: "
                f"{explain_differences(recipe, wanted)}"
            )
        self._depths, self._statistics = extractor.depths, extractor.statistics

    @override
    def train_dataloader(self) -> ResumableLoader:
        """Shuffled global batches of equal length; resumable in mid-epoch."""
        dataset = self._dataset(self.fit_split)
        sampler = ShuffleSampler(dataset, self.batch_size, self.seed, *self._world())
        local = self.batch_size // sampler.num_replicas
        return ResumableLoader(dataset, local, sampler=sampler, drop_last=True, **self._settings())

    @override
    def val_dataloader(self) -> Loader:
        """Every validation code once, over all processes."""
        return self.every_image("val")

    def every_image(self, split: str) -> Loader:
        """Every code of a split once, over all processes, whatever the stage.

        Raises:
            FileNotFoundError: if the store has no such split.
        """
        if split not in self.store.rows:
            raise FileNotFoundError(f"the store '{self.store.folder}' has no codes of split '{split}'")
        dataset = self._dataset(split)
        sampler = ShardSampler(dataset, *self._world())
        local = max(1, self.batch_size // sampler.num_replicas)
        return Loader(dataset, batch_size=local, sampler=sampler, **self._settings())

    def _dataset(self, split: str) -> "StoredCodes":
        return StoredCodes(self.store.folder, split, self._depths, self._statistics)

    def _world(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _settings(self) -> dict[str, Any]:
        workers = {"num_workers": self.num_workers, "persistent_workers": self.num_workers > 0}
        return workers | {"collate_fn": _as_it_is}


class StoredCodes(Dataset):
    """Rows of one split of a store; a batch is one gather a depth.

    Args:
        folder: the store.
        split: which split.
        depths: which depths.
        statistics: which statistics, in this order.

    Attributes:
        listing: the table of the store's images.
    """

    def __init__(self, folder: Path, split: str, depths: Sequence[str], statistics: Sequence[Statistic]) -> None:
        self._arguments = folder, split, tuple(depths), tuple(statistics)
        self.split, self.listing = split, folder / "images.parquet"
        self._store = CodeStore(folder)
        self._columns = {depth: self._store.columns(depth, statistics) for depth in depths}
        # Codes without a center of mass come with no dead channels, from images as well.
        self._counted = "com" in statistics

    def __len__(self) -> int:
        return self._store.rows[self.split]

    def __getitem__(self, position: int) -> dict[str, Any]:
        batch = self.__getitems__([position])
        per_depth = {name: {depth: rows[0] for depth, rows in batch[name].items()} for name in ("codes", "dead")}
        return per_depth | {name: int(batch[name][0]) for name in ("label", "id")}

    def __getitems__(self, positions: list[int]) -> dict[str, Any]:
        """Gather a batch, collated."""
        rows = np.asarray(positions)
        dead = self._arrays["dead"][rows].astype(np.int64) * self._counted
        return {
            "codes": {depth: self._gather(depth, rows) for depth in self._columns},
            "dead": {depth: torch.from_numpy(dead[:, self._store.depths.index(depth)]) for depth in self._columns},
            "label": torch.from_numpy(self._arrays["labels"][rows]),
            "id": torch.from_numpy(self._arrays["ids"][rows]),
        }

    def __reduce__(self) -> tuple[Callable[..., "StoredCodes"], tuple[Any, ...]]:
        return type(self), self._arguments  # a pickled memory map is the whole array

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: self._store.array(self.split, name) for name in (*self._columns, "ids", "labels", "dead")}

    def _gather(self, depth: str, rows: np.ndarray) -> Tensor:
        parts = [torch.from_numpy(self._arrays[depth][rows, columns]).float() for columns in self._columns[depth]]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _readers(store: CodeStore) -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 4 if store.bytes > memory / 2 else 0


def _as_it_is(batch: dict[str, Any]) -> dict[str, Any]:
    return batch

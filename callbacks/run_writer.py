"""Writes what a run found to disk: the maps, the BMU of every image, the measures, and which image is which.

maps.safetensors holds, for each depth, `<depth>/prototypes` (K, D) float32 and, where codes are standardised,
`<depth>/mean` and `<depth>/std` (D,) float64, with the lattice in its metadata. bmus.parquet holds one row an image and
depth: id, label, split, depth, row, col, distance. Both are readable without this project. For images.parquet see
image_list.py.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from safetensors.torch import save
from torch import Tensor
from typing_extensions import override

from callbacks.image_list import merge_images
from callbacks.run_folder import atomic, merge_measures, run_folder
from callbacks.sharded_parquet import ShardedParquet
from lightning_modules import CodeSOM
from lightning_modules.located import Located

__all__ = ["RunWriter"]

BMU_SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "label": pa.int64(),
        "split": pa.string(),
        "depth": pa.string(),
        "row": pa.int32(),
        "col": pa.int32(),
        "distance": pa.float32(),
    }
)


class RunWriter(Callback):
    """Leaves maps.safetensors after a fit, bmus.parquet and measures.json after an analysis, images.parquet always."""

    def __init__(self) -> None:
        self._bmus: ShardedParquet | None = None

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        folder = run_folder(trainer)
        if trainer.is_global_zero:
            with atomic(folder / "maps.safetensors") as part:
                part.write_bytes(
                    _in_order(save(_maps(pl_module), _description(pl_module)))
                )  # save_file ignores the umask
        val = trainer.val_dataloaders
        if val is None and trainer.enable_validation:  # of a fit that was resumed at its end
            val = trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        _list_images(trainer, folder, train=trainer.train_dataloader, val=val)

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._bmus = ShardedParquet(run_folder(trainer) / "bmus.parquet", BMU_SCHEMA, ["depth", "id"], trainer)

    @override
    def on_validation_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: CodeSOM,
        outputs: Located,
        batch: dict[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._bmus is None:
            return
        for depth, winners in outputs.winners.items():
            row, col = pl_module.lattice.coordinates(winners.bmu).unbind(-1)
            self._bmus.write(
                {
                    "id": batch["id"].cpu().numpy(),
                    "label": batch["label"].cpu().numpy(),
                    "split": "val",
                    "depth": depth,
                    "row": row.int().cpu().numpy(),
                    "col": col.int().cpu().numpy(),
                    "distance": winners.distance.float().cpu().numpy(),
                }
            )

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        if self._bmus is None:
            return
        self._bmus.close()
        self._bmus = None
        folder = run_folder(trainer)
        if trainer.is_global_zero:
            units = dict.fromkeys(pl_module.depths, pl_module.lattice.units)  # what the effective units are out of
            merge_measures(folder, "validate", pl_module.results | {"units": units})
        _list_images(trainer, folder, val=trainer.val_dataloaders)

    @override
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        _list_images(trainer, run_folder(trainer), test=trainer.test_dataloaders)

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._bmus is not None:
            self._bmus.abandon()
            self._bmus = None


def _list_images(trainer: pl.Trainer, folder: Path, **loaders: Any) -> None:
    """List the samples of each split's loader; None where a fit does not validate."""
    for split, loader in loaders.items():
        if trainer.is_global_zero and loader is not None:
            merge_images(folder, split, loader.dataset, trainer.datamodule)  # type: ignore[attr-defined]


def _maps(module: CodeSOM) -> dict[str, Tensor]:
    tensors = {}
    for depth, som in module.maps.items():
        tensors[f"{depth}/prototypes"] = som.prototypes.detach().cpu().contiguous()
        if som.standardiser is not None:
            tensors[f"{depth}/mean"] = som.standardiser.mean.cpu()
            tensors[f"{depth}/std"] = som.standardiser.standard_deviation.cpu()
    return tensors


def _in_order(content: bytes) -> bytes:
    """Sort the metadata in a safetensors file, which come in another order every time: equal maps give equal files."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _description(module: CodeSOM) -> dict[str, str]:
    lattice = module.lattice
    backbone = module.extractor.backbone
    return {
        "rows": str(lattice.rows),
        "cols": str(lattice.cols),
        "topology": lattice.topology,
        "unit": "row * cols + col",
        "distance": str(module.hparams["distance"]),  # "cosine": codes are scaled to length 1 after standardising
        "depths": ",".join(module.depths),
        "statistics": ",".join(module.extractor.statistics),
        "backbone": backbone.name,
        "backbone_digest": backbone.digest,
    }

"""Draws what an analysis found: figures in the run's folder, the same in TensorBoard, and the projector.

figures/*.png and *.pdf, and in TensorBoard `<group>/<figure>`, `<group>/<figure>/<depth>` for those of one depth.
docs/figures.md says how to read each. What the other callbacks leave on disk is read from there: this one comes last.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytorch_lightning as pl
from matplotlib.figure import Figure
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from typing_extensions import override

from callbacks.figures.center_distances import center_distances_figure
from callbacks.figures.class_maps import bmus_by_class_figure
from callbacks.figures.code_pca import Projection, code_pca_figure
from callbacks.figures.depth_profile import depth_profile_figure
from callbacks.figures.fields import component_planes_figure, relative_u_matrix, statistic_planes, u_matrix_figure
from callbacks.figures.layout import chosen_classes
from callbacks.figures.losses import losses_figure
from callbacks.figures.maps import maps_figure
from callbacks.figures.nearest_images import Nearest, mosaic, nearest_ids, nearest_images_figure
from callbacks.figures.unfolded import unfolding_figure
from callbacks.loss_curves import read_losses
from callbacks.pictures import keep_figure
from callbacks.projector import add_prototypes
from callbacks.run_folder import read_measures, run_folder
from callbacks.thumbnails import thumbnails
from lightning_modules import CodeSOM
from lightning_modules.located import Located
from measures import CodeSample, SampledCodes, principal_coordinates

__all__ = ["AnalysisPictures"]

THUMBNAIL = 64  # pixels
DRAWN = 500  # codes in the picture of their principal components


class AnalysisPictures(Callback):
    """After an analysis, draws every figure that its numbers allow; a picture that fails costs the run nothing."""

    def __init__(self) -> None:
        self._kept: dict[str, CodeSample] = {}
        self._codes: dict[str, SampledCodes] = {}

    @override
    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        sizes = {depth: som.dimensions for depth, som in pl_module.maps.items()}
        analysis = trainer.state.fn == "validate"
        self._kept = {d: CodeSample(DRAWN, size).to(pl_module.device) for d, size in sizes.items()} if analysis else {}

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
        for depth, kept in self._kept.items():
            kept.update(batch["id"], batch["label"], outputs.extraction.codes[depth])

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        self._codes = {depth: kept.sampled() for depth, kept in self._kept.items()}  # a collective
        self._kept = {}

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        folder = run_folder(trainer)  # a collective
        if trainer.state.fn != "validate" or not trainer.is_global_zero:
            return
        step = trainer.global_step
        writers = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        hits = _hits(pl_module)
        for name, draw in self._figures(folder, pl_module, hits):
            with _harmless(name):
                if (figure := draw()) is not None:
                    keep_figure(folder, name, figure, writers, step)
        with _harmless("nearest_images"):
            self._images(trainer, folder, pl_module, hits, writers, step)

    def _figures(
        self, folder: Path, module: CodeSOM, hits: dict[str, np.ndarray]
    ) -> Iterator[tuple[str, Callable[[], Figure | None]]]:
        """Figures by name, drawn one at a time; None where there is nothing to draw."""
        lattice, classes = module.lattice, module.classes
        chosen = chosen_classes(next(iter(hits.values())).sum((1, 2)))
        yield "maps", lambda: maps_figure(hits, classes)
        if chosen:
            yield "bmus_by_class", lambda: bmus_by_class_figure(hits, classes, chosen)
            yield "unfolded", lambda: unfolding_figure(hits, lattice.topology, classes, chosen)
        yield "code_pca", lambda: code_pca_figure(_projections(module, self._codes), classes, chosen)
        yield "center_distances", lambda: center_distances_figure(hits, lattice.topology, classes)
        numbers = read_measures(folder).get("validate", {})
        yield "depth_profile", lambda: depth_profile_figure({"": numbers}, module.depths)
        if losses := read_losses(folder):
            yield "losses", lambda: losses_figure({"": losses})
        prototypes = {depth: som.prototypes.detach().cpu() for depth, som in module.maps.items()}
        fields = {depth: relative_u_matrix(each, lattice) for depth, each in prototypes.items()}
        yield "u_matrix", lambda: u_matrix_figure({"": fields}, lattice.topology == "torus")
        yield "component_planes", lambda: component_planes_figure(_planes(module))

    def _images(
        self,
        trainer: pl.Trainer,
        folder: Path,
        module: CodeSOM,
        hits: dict[str, np.ndarray],
        writers: list[Any],
        step: int,
    ) -> None:
        """The map of nearest images of every depth, and the projector."""
        lattice, dataset = module.lattice, trainer.val_dataloaders.dataset  # type: ignore[union-attr]
        nearest = {depth: _nearest(folder, depth, lattice.rows, lattice.cols) for depth in module.depths}
        wanted = np.unique(np.concatenate([each.ids[each.ids >= 0] for each in nearest.values()]))
        pictures = thumbnails(dataset, wanted.tolist(), THUMBNAIL)
        for depth, found in nearest.items():
            if pictures:
                name = f"nearest_images/{depth}"
                figure = nearest_images_figure(mosaic(found.ids, pictures), found, depth, int(hits[depth].sum()))
                keep_figure(folder, name, figure, writers, step)
            # A block's image stands for all of its units.
            units = found.ids.repeat(found.block, 0).repeat(found.block, 1)[: lattice.rows, : lattice.cols].ravel()
            prototypes = module.maps[depth].prototypes
            for writer in writers:
                arguments = (prototypes, hits[depth], module.classes, units, pictures, step)
                add_prototypes(writer, f"validate/prototypes/{depth}", *arguments)


class _harmless:
    """Turns an error into a warning: numbers and maps are safe on disk, and the stages to come shall run."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, Exception):
            rank_zero_warn(f"the picture '{self.name}' could not be drawn: {type(error).__name__}: {error}")
        return isinstance(error, Exception)


def _hits(module: CodeSOM) -> dict[str, np.ndarray]:
    """(classes, rows, cols) counts by depth."""
    lattice = module.lattice
    return {depth: hits.cpu().numpy().reshape(-1, lattice.rows, lattice.cols) for depth, hits in module.hits.items()}


def _projections(module: CodeSOM, codes: dict[str, SampledCodes]) -> dict[str, Projection]:
    """The sampled codes of each depth, as its map sees them, on their first two principal directions."""
    found = {}
    for depth, sample in codes.items():
        encoded = module.maps[depth].encode(sample.codes).cpu()
        finite = encoded.isfinite().all(1)
        scores, label = principal_coordinates(encoded[finite]), sample.label.cpu()[finite]
        variance = (encoded[finite] - encoded[finite].mean(0)).double().square().sum()
        shares = scores.double().square().sum(0) / variance  # NaN where all codes are equal
        found[depth] = Projection(scores.numpy(), label.numpy(), shares.numpy())
    return found


def _planes(module: CodeSOM) -> dict[str, dict[str, Any]]:
    """Component planes by statistic and depth; raw pixels are no statistics of channels, and have none."""
    names = [
        part for name in module.extractor.statistics for part in (("com row", "com col") if name == "com" else (name,))
    ]
    planes: dict[str, dict[str, Any]] = {name: {} for name in names}
    for depth, som in module.maps.items():
        if not (channels := module.extractor.channels[depth]):
            continue
        for name, plane in statistic_planes(som.prototypes, module.lattice, dict.fromkeys(names, channels)).items():
            planes[name][depth] = plane
    return planes


def _nearest(folder: Path, depth: str, rows: int, cols: int) -> Nearest:
    """Which validation image stands for each tile, from bmus.parquet."""
    wanted = (pc.field("depth") == depth) & (pc.field("split") == "val")
    table = pq.read_table(folder / "bmus.parquet", filters=wanted)
    row, col, distance, number = (table[name].to_numpy() for name in ("row", "col", "distance", "id"))
    return nearest_ids(row, col, distance, number, rows, cols)

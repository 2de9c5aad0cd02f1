"""How the maps of a fit start, and the statistics that standardise: from codes that do not depend on the processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from som import SelfOrganizingMap

if TYPE_CHECKING:
    from lightning_modules.code_som import CodeSOM

__all__ = ["count_first_epoch", "start_maps"]

POOL = 512  # codes that maps start from, or one a unit where that is more


@torch.no_grad()
def start_maps(module: CodeSOM) -> dict[str, Tensor]:
    """Initialise every map, and its statistics, from the codes of the first training batches. A collective.

    Args:
        module: with its trainer and data module.

    Returns:
        The BMUs of the codes that each map started from, by depth; the same on every process.
    """
    loader = module.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
    needed = max(POOL, module.lattice.units)
    parts: dict[str, list[Tensor]] = {depth: [] for depth in module.depths}
    count = 0
    for batch in loader:
        codes = module._extract(module.trainer.strategy.batch_to_device(batch, module.device)).codes
        for depth, som in module.maps.items():
            if som.standardiser is not None:
                som.standardiser.update(codes[depth])
            gathered = cast(Tensor, module.all_gather(codes[depth]))  # (P, B, D), or (B, D) for one process
            parts[depth].append(gathered.flatten(0, -2))
        count += len(parts[module.depths[0]][-1])
        if count >= needed:
            break
    images = len(loader.dataset)
    if left := images - len(loader) * loader.batch_size * module.trainer.world_size:
        rank_zero_info(
            f"{left} of {images} training images, others each time, fill no batch and are left out of an epoch"
        )
    rank_zero_info(f"maps start from the codes of {count} training images")
    bmus = {}
    for number, (depth, som) in enumerate(module.maps.items()):
        pool = torch.cat(parts[depth])
        som.initialise(pool, module.hparams["init"], torch.Generator().manual_seed(module.seed + number))
        bmus[depth] = som(pool).bmu
    return bmus


def count_first_epoch(module: CodeSOM, som: SelfOrganizingMap, codes: Tensor) -> None:
    """Count every sample of the first epoch once in a map's statistics: those that it started from were counted there.

    Args:
        module: in training.
        som: one of its maps.
        codes: (B, D) raw codes of the batch at hand. A collective in the first epoch.
    """
    if som.standardiser is not None and module.current_epoch == 0 and som.standardiser.count <= module.samples_seen:
        som.standardiser.update(codes)

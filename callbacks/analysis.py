"""The heavy part of the analysis stage: class structure with nulls and intervals, codes without a map, both splits.

It adds to the module's `results`, so that measures.json holds {quantity: {depth: number}} under "validate": each value
under its name and beside it, where there are any, `<name>_low` and `<name>_high` (95 % interval), `<name>_null_mean`,
`<name>_null_low`, `<name>_null_high` (95 % of the draws of its null) and `<name>_p_value`. docs/measures.md defines the
names. Values, but for matrices between depths and what is undefined, are scalars in the logger too.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from tqdm import tqdm
from typing_extensions import override

from lightning_modules import CodeSOM
from lightning_modules.located import Located
from measures import (
    CodeSample,
    Estimate,
    Hits,
    SampledCodes,
    by_quantity,
    class_structure,
    code_similarity,
    code_structure,
    compare_structure,
    continuity,
    prototype_similarity,
    trustworthiness,
)

__all__ = ["MapAnalysis"]

Item = TypeVar("Item")

NEIGHBOURS = 5  # that continuity and trustworthiness count
# What splits are compared by, at equal numbers.
COMPARED = ("effective_units", "collision_lift", "distance_ratio", "center_distance", "left_out_transfer")


class MapAnalysis(Callback):
    """At the end of an analysis, measures what takes more than a moment; does nothing while a fit validates.

    Args:
        train_pass: whether the training images pass once more, for what compares splits: label transfer and the codes'
            nearest neighbours from training to validation images, and the classes of both on the same map at equal
            numbers. Left out, with a note, where the data has no training images.
        samples: images of a split whose codes are kept for what needs pairs of them, the same at every depth; time and
            memory grow with their square.
        permutations: draws of the nulls.
        seed: of samples, nulls and intervals.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(self, train_pass: bool = True, samples: int = 1000, permutations: int = 200, seed: int = 0) -> None:
        if samples < 1 or permutations < 1:
            raise ValueError(f"samples and permutations must be 1 or more; got {samples=}, {permutations=}")
        self.train_pass = train_pass
        self.samples = samples
        self.permutations = permutations
        self.seed = seed
        self._kept: dict[str, CodeSample] = {}

    @override
    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        self._kept = self._samples(pl_module) if trainer.state.fn == "validate" else {}

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
        if not self._kept:
            return
        kept = {depth: sample.sampled() for depth, sample in self._kept.items()}
        train = self._pass_training_images(trainer, pl_module)
        encoded = {depth: _encoded(sample, pl_module, depth) for depth, sample in kept.items()}
        found = {}
        for depth in _shown(pl_module.depths, trainer, "analysis"):
            reference = None if train is None else _encoded(train[depth], pl_module, depth)
            found[depth] = self._structure(pl_module, depth)
            found[depth] |= code_structure(encoded[depth], len(pl_module.classes), train=reference)
            found[depth] |= _neighbourhoods(pl_module, depth, kept[depth])
        self._kept = {}
        pl_module.results |= by_quantity(found) | code_similarity(encoded, len(pl_module.classes))
        prototypes = {depth: som.prototypes.detach() for depth, som in pl_module.maps.items()}
        pl_module.results |= prototype_similarity(prototypes, pl_module.lattice)
        running = pl_module.measures[pl_module.depths[0]]  # which the module logs itself
        for depth, numbers in found.items():
            for name, number in numbers.items():
                if name not in running and math.isfinite(number.value):
                    pl_module.log(f"validate/{name}/{depth}", number.value, sync_dist=True)

    def _samples(self, module: CodeSOM) -> dict[str, CodeSample]:
        sizes = {depth: som.dimensions for depth, som in module.maps.items()}
        return {depth: CodeSample(self.samples, size, self.seed).to(module.device) for depth, size in sizes.items()}

    def _pass_training_images(self, trainer: pl.Trainer, module: CodeSOM) -> dict[str, SampledCodes] | None:
        """Count the training images' BMUs into the module's `train_hits`, and keep some of their codes. A collective.

        Returns:
            The codes by depth, or None without a pass.
        """
        if not self.train_pass:
            return None
        try:
            loader = trainer.datamodule.every_image("train")  # type: ignore[attr-defined]
        except FileNotFoundError as error:
            rank_zero_info(f"the analysis compares no splits: {error}")
            return None
        limit = trainer.limit_train_batches
        loader = islice(loader, int(len(loader) * limit) if isinstance(limit, float) else limit)
        kept = self._samples(module)
        counts = {depth: Hits(module.lattice.units, len(module.classes)).to(module.device) for depth in module.depths}
        for batch in _shown(loader, trainer, "training images"):
            batch = trainer.strategy.batch_to_device(batch)
            with trainer.precision_plugin.val_step_context():
                found = module.locate(batch)
            for depth, winners in found.winners.items():
                counts[depth].update(winners.bmu, batch["label"])
                kept[depth].update(batch["id"], batch["label"], found.extraction.codes[depth])
        module.train_hits = {depth: count.compute() for depth, count in counts.items()}
        return {depth: sample.sampled() for depth, sample in kept.items()}

    def _structure(self, module: CodeSOM, depth: str) -> dict[str, Estimate]:
        """What the counts tell: of the validation images, and of both splits at equal numbers."""
        hits, train = module.measures[depth].compute()["hits"], module.train_hits.get(depth)
        settings: dict[str, Any] = {"permutations": self.permutations, "seed": self.seed}
        found = class_structure(hits, module.lattice, train=train, **settings)
        if train is not None:
            splits = compare_structure(train, hits, module.lattice, seed=self.seed)
            for name in COMPARED:
                each = splits[name]
                found[f"equal_n_{name}_train"] = Estimate(each.first)
                found[f"equal_n_{name}_val"] = Estimate(each.second)
                found[f"equal_n_{name}_difference"] = Estimate(each.difference, each.low, each.high)
        return found


def _encoded(sample: SampledCodes, module: CodeSOM, depth: str) -> SampledCodes:
    """The sample in the space of the map."""
    return sample._replace(codes=module.maps[depth].encode(sample.codes))


def _neighbourhoods(module: CodeSOM, depth: str, sample: SampledCodes) -> dict[str, Estimate]:
    """Trustworthiness and continuity of the map, on the sample; NaN if it is too small for their neighbours."""
    som = module.maps[depth]
    measures = {"trustworthiness": trustworthiness, "continuity": continuity}
    if len(sample.codes) <= 2 * NEIGHBOURS:
        return dict.fromkeys(measures, Estimate(math.nan))
    codes, bmu = som.encode(sample.codes), som(sample.codes).bmu
    return {name: Estimate(float(measure(codes, bmu, som.lattice, NEIGHBOURS))) for name, measure in measures.items()}


def _shown(items: Iterable[Item], trainer: pl.Trainer, what: str) -> Iterator[Item]:
    """Go through items with a progress bar, where the trainer shows one."""
    silent = trainer.progress_bar_callback is None or not trainer.is_global_zero
    yield from tqdm(items, desc=what, disable=silent, leave=False)

"""What attacks are judged against, measured before them: clean accuracy, the scale of the codes, training images.

Every process passes its own test images once, and its share of the training images that are asked for. The results are
the same on all of them, and do not depend on batches or on how many they are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import Subset

from lightning_modules import CodeSOM
from measures import ClassRegions, CodeBank, CodeSample, Rate, count_hits, median_pairwise_distance, random_keys
from measures.outliers import NEIGHBOURS

__all__ = ["ClassMeans", "References", "measure_references"]

SAMPLE = 256  # images whose pairs give the scale of the codes
Rule = Callable[[Tensor, Tensor], Tensor]  # labels and predictions to the classes that count as right


@dataclass(frozen=True)
class ClassMeans:
    """Mean codes of the classes that have training images.

    Args:
        row: (C,) int64, where a class's mean is, -1 without one.
        means: (classes with images, D) float32.
    """

    row: Tensor
    means: Tensor

    def __call__(self, classes: Tensor) -> Tensor:
        """The means (B, D) of classes (B,); NaN for those without images."""
        rows = self.row[classes]
        return torch.where(rows[:, None] >= 0, self.means[rows], torch.nan)


@dataclass
class References:
    """Measured before the attacks.

    Args:
        accuracy: of the clean test images.
        right: ids of those that are right, sorted, of all processes.
        local_images: test images of this process.
        scale: by depth, the median distance between the codes of two test images, in the space of the map.
        images: how many training images were passed.
        regions: by depth, the classes' places on the map by training images; empty without them.
        means: by depth, the classes' mean codes.
        banks: by depth, codes to compare with; empty where the training images are too few.
    """

    accuracy: Rate
    right: list[int]
    local_images: int
    scale: dict[str, float]
    images: int = 0
    regions: dict[str, ClassRegions] = field(default_factory=dict)
    means: dict[str, ClassMeans] = field(default_factory=dict)
    banks: dict[str, CodeBank] = field(default_factory=dict)


def measure_references(trainer: pl.Trainer, module: CodeSOM, right_class: Rule, images: int, seed: int) -> References:
    """Pass the clean images. A collective.

    Args:
        trainer: with the data module.
        module: with fit maps.
        right_class: from labels (B,) and predictions (B,), the classes (B,) that count as right.
        images: how many training images to pass, drawn by the seed, whose codes are kept; 0 for none.
        seed: of the draws.

    Raises:
        ValueError: if test images are not in [0, 1].
    """
    found = _pass_test_images(trainer, module, right_class, seed)
    if images:
        _pass_training_images(found, trainer, module, right_class, images, seed)
    return found


def _pass_test_images(trainer: pl.Trainer, module: CodeSOM, right_class: Rule, seed: int) -> References:
    accuracy = Rate().to(module.device)
    samples = _samples(module, SAMPLE, seed)
    count, right = 0, []
    loader = trainer.datamodule.test_dataloader()  # type: ignore[attr-defined]
    for batch in islice(loader, int(trainer.num_test_batches[0])):  # limit_test_batches holds here too
        _check_range(batch["image"], batch["id"])
        predicted = _collect(trainer, module, batch, right_class, samples)
        correct = predicted == right_class(batch["label"].to(module.device), predicted)
        accuracy.update(correct)
        count += len(correct)
        right += batch["id"].to(module.device)[correct].tolist()
    scale = {}
    for depth, sample in samples.items():
        scale[depth] = float(median_pairwise_distance(module.maps[depth].encode(sample.compute().codes)))
    return References(accuracy, sorted(_from_all(trainer, right)), count, scale)


def _pass_training_images(
    found: References, trainer: pl.Trainer, module: CodeSOM, right_class: Rule, images: int, seed: int
) -> None:
    samples = _samples(module, images, seed)
    for batch in _training_batches(trainer, images, seed):
        _collect(trainer, module, batch, right_class, samples)
    classes = module.extractor.backbone.num_classes
    assert classes is not None
    for depth, som in module.maps.items():
        ids, label, raw = samples[depth].compute()
        codes = som.encode(raw)
        found.images = len(ids)
        hits = count_hits(som(raw).bmu, label, module.lattice.units, classes)
        found.regions[depth] = ClassRegions(hits, module.lattice)
        found.means[depth] = _class_means(codes, label, classes)
        if len(ids) > NEIGHBOURS:
            found.banks[depth] = CodeBank(codes, label)


def _samples(module: CodeSOM, images: int, seed: int) -> dict[str, CodeSample]:
    dimensions = module.extractor.dimensions
    return {depth: CodeSample(images, dimensions[depth], seed).to(module.device) for depth in module.depths}


def _collect(
    trainer: pl.Trainer,
    module: CodeSOM,
    batch: dict[str, Tensor],
    right_class: Rule,
    samples: dict[str, CodeSample],
) -> Tensor:
    """Offer a batch's raw codes to the samples, with the classes that count as right; returns the predictions (B,)."""
    ids, label = batch["id"].to(module.device), batch["label"].to(module.device)
    with torch.no_grad(), trainer.precision_plugin.test_step_context():
        extraction = module.extractor(batch["image"].to(module.device))
    assert extraction.logits is not None
    predicted = extraction.logits.argmax(1)
    for depth, sample in samples.items():
        sample.update(ids, right_class(label, predicted), extraction.codes[depth])
    return predicted


def _training_batches(trainer: pl.Trainer, images: int, seed: int) -> Iterator[dict[str, Tensor]]:
    """This process's share of a seeded draw of the training images."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    data.setup("predict")
    loader = data.predict_dataloader()["train"]
    order = random_keys(torch.arange(len(loader.dataset)), seed).argsort()[:images]
    mine = order.sort().values[trainer.global_rank :: trainer.world_size].tolist()
    size, workers = loader.batch_size, {"num_workers": loader.num_workers, "prefetch_factor": loader.prefetch_factor}
    yield from type(loader)(Subset(loader.dataset, mine), batch_size=size, device=loader.device, **workers)


def _class_means(codes: Tensor, label: Tensor, classes: int) -> ClassMeans:
    known, member, counts = label.unique(return_inverse=True, return_counts=True)
    row = torch.full((classes,), -1, dtype=torch.int64, device=codes.device)
    row[known] = torch.arange(len(known), device=codes.device)
    sums = torch.zeros(len(known), codes.shape[1], device=codes.device).index_add(0, member, codes)
    return ClassMeans(row, sums / counts[:, None])


def _check_range(images: Tensor, ids: Tensor) -> None:
    low, high = images.flatten(1).amin(1), images.flatten(1).amax(1)
    outside = ~((low >= 0) & (high <= 1))
    if outside.any():
        first = int(outside.int().argmax())
        raise ValueError(
            f"image {int(ids[first])} has values from {float(low[first]):g} to {float(high[first]):g}: attacks need "
            "images in [0, 1], which the backbone normalises itself; take normalisation out of the data"
        )


def _from_all(trainer: pl.Trainer, mine: list[int]) -> list[int]:
    if trainer.world_size == 1:
        return mine
    gathered: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(gathered, mine)
    return [number for part in gathered for number in part]

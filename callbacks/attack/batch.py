"""What attacks do to one batch: adversarial images and their controls, sent through backbone and maps."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from callbacks.attack.columns import Seen, clean_columns, norms_of, perturbed_columns, see
from callbacks.attack.foolbox_attacks import run_attack
from callbacks.attack.noise import CONTROLS, MatchedNoise
from callbacks.attack.references import References
from callbacks.attack.specs import AttackSpec
from codes import Extraction
from lightning_modules import CodeSOM

__all__ = ["AttackedBatch", "FittingParts"]

TARGET = 5  # a stream of randomness of its own
Columns = dict[str, Tensor]


class AttackedBatch:
    """One batch of test images under attack.

    Args:
        trainer: for the precision.
        module: backbone and maps.
        references: measured before.
        batch: `image` (B, 3, H, W), `label` and `id` (B,).
        extraction: codes and logits of the clean images.
        reference: (B,) the classes that count as right, as the backbone numbers them.
        seed: with the sample id, what all randomness depends on.
    """

    def __init__(
        self,
        trainer: pl.Trainer,
        module: CodeSOM,
        references: References,
        batch: dict[str, Tensor],
        extraction: Extraction,
        reference: Tensor,
        seed: int,
    ) -> None:
        self.trainer = trainer
        self.module = module
        self.references = references
        self.images, self.ids = batch["image"], batch["id"]
        self.reference = reference
        self.seed = seed
        self.clean: Seen = see("clean", module, extraction, references)
        self.right = self.clean.columns["clean_prediction"] == reference
        self.columns: Columns = {"id": self.ids, "label": batch["label"], "reference": reference}
        self.columns |= self.clean.columns | clean_columns(self.clean, reference)
        self._noise = MatchedNoise(self.images, self.ids, seed)

    def targets(self, target: int | str) -> Tensor | None:
        """(B,) the classes to reach, as a specification's resolved target says; None for untargeted attacks."""
        classes = self.clean.logits.shape[1]
        match target:
            case "untargeted":
                return None
            case "least_likely":
                return self.clean.logits.argmin(1)
            case "random":
                drawn = [
                    np.random.default_rng((self.seed, TARGET, number)).integers(classes - 1)
                    for number in self.ids.tolist()
                ]
                other = torch.tensor(drawn, device=self.ids.device)
                return other + (other >= self.reference)  # any class but the right one
            case _:
                return torch.full_like(self.reference, int(target))

    def attack(
        self,
        spec: AttackSpec,
        epsilon: float | None,
        rows: Tensor,
        targets: Tensor | None,
        source: nn.Module | None = None,
    ) -> tuple[Columns, dict[str, Tensor]]:
        """Attack some images, and hold them against noise of the same size.

        Args:
            spec: the attack.
            epsilon: one of its budgets.
            rows: (b,) which images.
            targets: (B,) the classes to reach, if any.
            source: a backbone on which the examples are made, in place of the module's own.

        Returns:
            The columns (b,) that only attacked images have, and the images (b, 3, H, W) by kind.
        """
        images, own = self.images[rows], self.reference[rows]
        aims = None if targets is None else targets[rows]
        found = run_attack(
            source or self.module.extractor.backbone,
            images,
            own,
            self.ids[rows],
            spec=spec,
            epsilon=epsilon,
            seed=self.seed,
            targets=aims,
            prepare=self._prepare,
        )
        noise, control = self._noise.select(rows), CONTROLS[spec.norm]
        pictures = {"adversarial": found, "control": noise(control, found)}
        before = {depth: codes[rows] for depth, codes in self.clean.codes.items()}
        columns: Columns = {} if aims is None else {"target": aims}
        other, extraction = own, None
        for kind in ("adversarial", "control", "gaussian"):
            if kind != "gaussian" or control != "gaussian":  # else the control is that already
                picture = pictures[kind] if kind in pictures else noise("gaussian", found)
                extraction = self._extract(picture)
            assert extraction is not None
            seen = see(kind, self.module, extraction, self.references)
            if kind == "adversarial":
                other = seen.columns["adversarial_prediction"]
            columns |= seen.columns | norms_of(kind, picture - images)
            columns |= perturbed_columns(kind, seen, before, self.references, own, other)
        return columns, {"clean": images, **pictures}

    def _extract(self, pictures: Tensor) -> Extraction:
        # The clean images' precision: under autocast, float32 alone would move BMUs and predictions.
        with torch.no_grad(), self.trainer.precision_plugin.test_step_context():
            return self.module.extractor(pictures)

    def _prepare(self, attack: Any, images: Tensor) -> None:
        """Show the maps to an attack on them."""
        if hasattr(attack, "see_maps"):
            attack.see_maps(self.module, images)


class FittingParts:
    """Runs work on a batch in parts that fit into memory: where one does not, half of it is tried, from then on.

    Attributes:
        size: the largest number of images that may be tried; None while all have fit.
    """

    def __init__(self) -> None:
        self.size: int | None = None

    def __call__(self, work: Callable[[Tensor], Any], rows: Tensor) -> list[Any]:
        """Run work(part of rows) for parts of rows (b,) in their order.

        Raises:
            RuntimeError: if a single image is too much; whatever else the work raises.
        """
        results: list[Any] = []
        start = 0
        while start < len(rows):
            part = rows[start : start + (self.size or len(rows))]
            try:
                results.append(work(part))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or len(part) == 1:
                    raise
                self.size = (len(part) + 1) // 2
            else:
                start += len(part)
                continue
            # Outside the handler, whose error holds the frames and their tensors.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            warnings.warn(
                f"out of memory with {len(part)} images under attack: going on with {self.size} at a time",
                stacklevel=2,
            )
        return results


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a device or of the machine was too small."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in ("out of memory", "can't allocate memory", "not enough memory"))

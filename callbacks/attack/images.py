"""Adversarial images on disk, as floating point: rounding to 8 bits is larger than small budgets.

adversarial_images/<attack>@<budget>.safetensors holds `id` (n,) int64, `clean`, `adversarial` and `control`
(n, 3, H, W) float32 in [0, 1], in order of the ids. Like the ledger's rows they are written batch by batch, so that a
stage that was killed goes on where it was.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from callbacks.attack.specs import AttackSpec
from callbacks.run_folder import atomic

__all__ = ["AttackedImages", "images_file"]

FOLDER = "adversarial_images"
SHOWN = "shown~"  # no label begins so


def images_file(folder: Path, spec: AttackSpec, budget: float | None) -> Path:
    """Where a run keeps the images of an attack at a budget."""
    name = f"{budget:g}" if budget is not None else spec.kind
    return folder / FOLDER / f"{spec.label}@{name}.safetensors"


class AttackedImages:
    """Collects chosen images of all batches and processes.

    Args:
        folder: the run's folder.
        parts: where batches are kept until the end.

    Attributes:
        shown: after `merge`, by attack the few images for figures.
    """

    def __init__(self, folder: Path, parts: Path) -> None:
        self.folder = folder
        self.parts = parts
        self.shown: dict[str, dict[str, Tensor]] = {}

    def write(self, spec: AttackSpec, budget: float | None, images: Mapping[str, Tensor], shown: bool = False) -> None:
        """Add images of one batch: `id` (b,) and the images (b, 3, H, W) by kind, b at least 1.

        Args:
            spec: the attack.
            budget: in its unit.
            images: by kind.
            shown: whether they are for figures, and not kept.
        """
        name = SHOWN + spec.label if shown else images_file(self.folder, spec, budget).stem
        with atomic(self.parts / f"{name}@{int(images['id'].min()):09d}.safetensors") as part:
            part.write_bytes(save({key: value.cpu().contiguous() for key, value in images.items()}))

    def merge(self, specs: Iterable[AttackSpec]) -> None:
        """Put the parts together, one file an attack and budget."""
        for spec in specs:
            if shown := self._join(SHOWN + spec.label):
                self.shown[spec.label] = shown
            for budget in spec.budgets:
                whole = images_file(self.folder, spec, budget)
                if joined := self._join(whole.stem):
                    with atomic(whole) as file:
                        file.write_bytes(save(joined))

    def _join(self, name: str) -> dict[str, Tensor]:
        """The images of all parts of a name, in order of the ids; empty without any."""
        parts = [load_file(path) for path in sorted(self.parts.glob(f"{name}@*.safetensors"))]
        if not parts:
            return {}
        joined = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        order = joined["id"].argsort(stable=True)
        # A batch that was killed between its images and its rows may have come again as another batch.
        first = torch.cat((torch.ones(1, dtype=torch.bool), joined["id"][order].diff() != 0))
        return {key: value[order[first]].contiguous() for key, value in joined.items()}

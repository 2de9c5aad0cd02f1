"""What one attack at one budget did, as sums that are exact over all processes."""

from typing import Any

import torch
from torch import Tensor

from lightning_modules import CodeSOM
from measures import MapDisplacement, Rate


def interval(rate: Rate) -> dict[str, float]:
    """The rate with its Wilson interval, as plain numbers. A collective."""
    return {name: value.item() for name, value in rate.compute().items()}


class AttackReport:
    """What one attack at one budget did.

    Args:
        module: whose lattice, depths and device the sums are for.
    """

    def __init__(self, module: CodeSOM) -> None:
        lattice = module.lattice
        self.robust = Rate().to(module.device)  # of all images
        self.success = Rate().to(module.device)  # of the attacked ones
        self.control_success = Rate().to(module.device)
        self.displacement, self.control = (
            {
                depth: MapDisplacement(lattice.rows, lattice.cols, lattice.topology).to(module.device)
                for depth in module.depths
            }
            for _ in range(2)
        )

    def update(self, clean_bmus: dict[str, Tensor], found: dict[str, Tensor], labels: Tensor) -> None:
        """Count attacked images."""
        survived = found["adversarial_prediction"] == labels
        self.robust.update(survived)
        self.success.update(~survived)
        self.control_success.update(found["control_prediction"] != labels)
        for depth, before in clean_bmus.items():
            self.displacement[depth].update(before, found[f"{depth}_adversarial"])
            self.control[depth].update(before, found[f"{depth}_control"])

    def skip(self, wrong: Tensor) -> None:
        """Count images that were wrong when clean, (wrong,): not robust, never attacked."""
        self.robust.update(torch.zeros_like(wrong, dtype=torch.bool))

    def compute(self) -> dict[str, Any]:
        """Return the numbers. A collective."""
        return {
            "robust_accuracy": interval(self.robust),
            "attack_success": interval(self.success),
            "control_success": interval(self.control_success),
            "displacement": {depth: float(metric.compute()) for depth, metric in self.displacement.items()},
            "control_displacement": {depth: float(metric.compute()) for depth, metric in self.control.items()},
        }

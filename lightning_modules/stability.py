"""The watch over the learning rate: a step of the gradient rule that is too long makes a map diverge."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from som import SelfOrganizingMap, smooth, stability

__all__ = ["StabilityWatch"]


class StabilityWatch:
    """Stops a learning rate that diverges, and warns once a depth of one that overshoots."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def check(
        self, trainer: pl.Trainer, depth: str, som: SelfOrganizingMap, bmu: Tensor, sigma: float, rate: float
    ) -> None:
        """Look at one step; a collective where the rate is above 1: up to 1 none diverges.

        Args:
            trainer: whose processes share the step.
            depth: what the message names.
            som: the map.
            bmu: (B,) the winners of this process.
            sigma: width of the neighbourhood.
            rate: the learning rate alpha.

        Raises:
            ValueError: if the rate diverges, naming the largest that does not.
        """
        if rate <= 1:
            return
        with torch.autocast(bmu.device.type, enabled=False):
            denominator = smooth(som.factors(sigma), torch.bincount(bmu, minlength=som.lattice.units).float())
        number = float(stability(trainer.strategy.reduce(denominator, reduce_op="mean"), len(bmu), rate))
        if number >= 2:
            raise ValueError(
                f"alpha {rate:g} diverges on {depth} at sigma {sigma:.3g}: alpha times the largest mean neighbourhood "
                f"is {number:.3g} and must stay below 2; set model.alpha to at most {1.9 * rate / number:.2g}"
            )
        if number > 1 and depth not in self._warned:
            self._warned.add(depth)
            rank_zero_warn(f"alpha {rate:g} overshoots on {depth} (its stability number is {number:.3g}, above 1)")

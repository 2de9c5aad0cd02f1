"""The update rules without a gradient, for maps whose codes come batch by batch on several processes.

Every process adds up the sums of all of them at every step, so that all hold the same: what is in a checkpoint, written
by one, is the state of every one.
"""

import torch
from torch import Tensor, nn

from som import SelfOrganizingMap
from som.neighbourhood import smooth
from som.rules import MovingAverage, Rule, batch_step
from som.sums import UnitSums

__all__ = ["MapUpdate"]


class MapUpdate(nn.Module):
    """Moves one map's prototypes by rule "batch", at the end of an epoch, or "ema", at every step.

    Args:
        som: the map.
        rule: "batch" or "ema".
    """

    def __init__(self, som: SelfOrganizingMap, rule: Rule) -> None:
        super().__init__()
        self.total = UnitSums(som.prototypes) if rule == "batch" else None
        self.average = MovingAverage(som.prototypes) if rule == "ema" else None

    @torch.no_grad()
    def step(self, som: SelfOrganizingMap, codes: Tensor, bmu: Tensor, sigma: float, rate: float, last: bool) -> None:
        """Take in a batch; a collective.

        Args:
            som: the map.
            codes: (B, D) raw codes of this process.
            bmu: (B,) their BMUs.
            sigma: width of the neighbourhood.
            rate: weight of the batch; for "ema".
            last: whether the epoch ends with this batch.
        """
        with torch.autocast(codes.device.type, enabled=False):  # bf16 would round the means to three digits
            sums = UnitSums(som.prototypes)
            sums.add(som.encode(codes), bmu)
            sums.reduce()
            if self.total is not None:
                self.total.merge(sums)
                if not last:
                    return
                sums = self.total
            factors = som.factors(sigma)
            numerator, denominator = smooth(factors, sums.codes), smooth(factors, sums.counts.float())
            if self.average is None:
                batch_step(som.prototypes, numerator, denominator)
                sums.clear()
            else:
                self.average.step(som.prototypes, numerator, denominator, int(sums.counts.sum()), rate)
            som.constrain()

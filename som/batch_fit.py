"""An epoch of Kohonen's batch map: one search for all codes, one update."""

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from som.bounds import LowRank, low_rank_pays
from som.fitting import Fit, over_processes, processes
from som.index import Bounds, Index, find_nearest
from som.low_rank import plane_factors, spectrum
from som.neighbourhood import Factors, smooth
from som.rules import batch_step
from som.sums import UnitSums

COLUMNS = 128  # dimensions smoothed at a time, so that the sums are never copied whole
EVEN = 0.01  # least share of the largest denominator at which a truncated spectrum is exact to float32


class BatchFit(Fit):
    """The batch rule."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._low_rank = plane_factors(self.prototypes, self.origin) if self._may_factorise else None

    @override
    def epoch(self) -> tuple[float, int, int]:
        running = UnitSums(self.prototypes, self.largest)
        index = self.index()
        bounds = self._bounds(index)
        squared, rescored = 0.0, 0
        rank, world = processes()
        for position, batch in enumerate(self.source.batches()):
            if self.source.samples is not None and position % world != rank:
                continue
            codes = self.encode(batch)
            found = find_nearest(codes, index, bounds)
            running.add(codes, found.units[:, 0])
            squared += float(codes.flatten().dot(codes.flatten()))
            rescored += found.rescored
        running.reduce()
        squared, rescored_all = over_processes(squared, rescored, device=self.prototypes.device)
        sums, counts = running.codes, running.counts.float()
        # sum |x - v|^2 = sum |x|^2 - 2 sum_k S_k v_k + sum_k n_k |v_k|^2 needs no second look at the codes.
        cross = torch.linalg.vecdot(sums.flatten(), self.prototypes.flatten())
        own = torch.dot(counts, torch.linalg.vector_norm(self.prototypes, dim=1).square())
        del index, bounds
        self._update(sums, counts, self.som.factors(self.progress.sigma[-1]))
        return squared - 2 * float(cross) + float(own), int(rescored_all), int(counts.sum())

    def _update(self, sums: Tensor, counts: Tensor, factors: Factors) -> None:
        """Take the means, through factors of low rank where these are as exact and make the next search faster."""
        denominator = smooth(factors, counts)
        self._low_rank = None
        if self._may_factorise and denominator.min() > EVEN * denominator.max():
            modes = spectrum(factors)
            # Other processes, and another run, have to decide alike: factors round otherwise than means.
            measured = not self.plan.deterministic and processes()[1] == 1
            if self.plan.search == "low_rank" or low_rank_pays(modes.rank, self.prototypes, measured=measured):
                self._low_rank = modes.factorise(sums, denominator)
                torch.mm(*self._low_rank, out=self.prototypes)
                return
        for first in range(0, sums.shape[1], COLUMNS):
            part = slice(first, first + COLUMNS)
            sums[:, part] = smooth(factors, sums[:, part])
        batch_step(self.prototypes, sums, denominator)

    @property
    def _may_factorise(self) -> bool:
        return self.centred and self.plan.search in ("auto", "low_rank")

    def _bounds(self, index: Index) -> Bounds:
        if self._low_rank is not None:
            return LowRank(index, *self._low_rank)
        return self.bounds(index, self.source.samples or len(self.prototypes))

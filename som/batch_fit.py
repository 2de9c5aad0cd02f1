"""An epoch of Kohonen's batch map: one search for all codes, one update."""

import torch
from torch import Tensor
from typing_extensions import override

from som.fitting import Fit, over_processes, processes
from som.index import find_nearest
from som.neighbourhood import Factors, smooth
from som.rules import batch_step
from som.sums import UnitSums

COLUMNS = 128  # dimensions smoothed at a time, so that the sums are never copied whole


class BatchFit(Fit):
    """The batch rule."""

    @override
    def epoch(self) -> tuple[float, int, int]:
        running = UnitSums(self.prototypes, self.largest, self.source.samples or 1)
        index = self.index()
        bounds = self.bounds(index, self.source.samples or len(self.prototypes))
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
        factors = self.som.factors(self.progress.sigma[-1])
        self._update(sums, smooth(factors, counts), factors)
        return squared - 2 * float(cross) + float(own), int(rescored_all), int(counts.sum())

    def _update(self, sums: Tensor, denominator: Tensor, factors: Factors) -> None:
        for first in range(0, sums.shape[1], COLUMNS):
            part = slice(first, first + COLUMNS)
            sums[:, part] = smooth(factors, sums[:, part])
        batch_step(self.prototypes, sums, denominator)

"""An epoch of the rules that update after every batch: gradient and moving average."""

import warnings
from functools import cached_property

import torch
from torch import Tensor, distributed
from typing_extensions import override

from som.energy import stability
from som.fitting import Fit, over_processes, processes, seeded
from som.index import find_nearest
from som.neighbourhood import Factors, neighbourhood_weights, smooth
from som.rules import MovingAverage, dense_gradient_step, gradient_step
from som.sources import LoaderSource
from som.sums import UnitSums, smoothed_sums
from som.winners import heskes_bmus, soft_energy


class MinibatchFit(Fit):
    """The gradient rule, and the moving average where the plan has it."""

    _warned = False

    @cached_property
    def average(self) -> MovingAverage | None:
        """The moving average of the ``ema`` rule."""
        return MovingAverage(self.prototypes) if self.plan.rule == "ema" else None

    @property
    @override
    def state(self) -> dict[str, Tensor]:
        return {} if self.average is None else dict(self.average.named_buffers())

    @override
    def epoch(self) -> tuple[float, int, int]:
        plan, source = self.plan, self.source
        order = None
        if source.samples is not None and plan.shuffle:
            order = torch.randperm(source.samples, generator=seeded(plan.seed, self.progress.epoch))
        rank, world = processes()
        squared, rescored, seen = 0.0, 0, 0
        for number, batch in enumerate(source.batches(plan.batch_size, order)):
            size = len(batch)
            if isinstance(source, LoaderSource):
                (size,) = map(int, over_processes(size, device=self.prototypes.device))
                share = number / source.length
            else:
                batch, share = batch[rank::world], seen / source.samples
            progress = (self.progress.epoch + share) / plan.epochs
            more_squared, more_rescored = self._step(self.encode(batch), size, progress)
            squared, rescored, seen = squared + more_squared, rescored + more_rescored, seen + size
        squared, rescored_all = over_processes(squared, rescored, device=self.prototypes.device)
        return squared, int(rescored_all), seen

    def _step(self, codes: Tensor, size: int, progress: float) -> tuple[float, int]:
        """Learn from this process's share of a batch of ``size`` codes."""
        factors, alpha = self.som.factors(self.sigma(progress)), self.plan.alpha(progress)
        index = self.index()
        found = find_nearest(codes, index, self.bounds(index, len(codes)))
        bmu = found.units[:, 0]
        squared = torch.linalg.vector_norm(codes - self.prototypes[bmu], dim=1).double().square().sum()
        if self.som.winner == "heskes":
            bmu = heskes_bmus(codes, self.prototypes, factors)
        if self.som.winner == "soft":
            self._soft_step(codes, size, factors, alpha)
        elif self.average is None and self._is_dense(codes):
            weights = neighbourhood_weights(factors, bmu)
            self._watch(weights.sum(0), size, alpha)
            dense_gradient_step(self.prototypes, codes, weights, alpha)
        elif self.average is None:
            numerator, denominator = self._sums(codes, bmu, factors)
            self._watch(denominator, size, alpha)
            gradient_step(self.prototypes, numerator, denominator, size, alpha)
        else:
            self.average.step(self.prototypes, *self._sums(codes, bmu, factors), size, alpha)
        self.som.constrain()
        return float(squared), found.rescored

    def _watch(self, denominator: Tensor, size: int, alpha: float) -> None:
        """Warn once a fit of steps that are too long; up to alpha = 1 none is."""
        if alpha <= 1 or self._warned:
            return
        number = float(stability(denominator, size, alpha))
        if number > 1:
            self._warned = True
            warnings.warn(
                f"alpha {alpha:.3g} overshoots: times the largest mean neighbourhood it is {number:.3g}, and should be "
                f"at most 1, since from 2 on steps diverge; try alpha {alpha / number:.2g}",
                stacklevel=2,
            )

    def _is_dense(self, codes: Tensor) -> bool:
        """Whether one product with (B, K) weights is the fastest update: smoothing makes copies of all prototypes."""
        lattice = self.som.lattice
        alone = processes()[1] == 1 and not self.plan.deterministic
        return alone and len(codes) < 4 * (lattice.rows + lattice.cols)

    def _sums(self, codes: Tensor, bmu: Tensor, factors: Factors) -> tuple[Tensor, Tensor]:
        if self.plan.deterministic:
            sums = UnitSums(self.prototypes, self.largest, self.source.samples or 1)
            sums.add(codes, bmu)
            sums.reduce()
            return smooth(factors, sums.codes), smooth(factors, sums.counts.float())
        numerator, denominator = smoothed_sums(codes, bmu, factors)
        if processes()[1] > 1:
            distributed.all_reduce(numerator)
            distributed.all_reduce(denominator)
        return numerator, denominator

    def _soft_step(self, codes: Tensor, size: int, factors: Factors, alpha: float) -> None:
        slope = torch.zeros_like(self.prototypes)
        if len(codes):
            with torch.enable_grad():
                prototypes = self.prototypes.detach().requires_grad_()
                loss = soft_energy(codes, prototypes, factors) * (len(codes) / size)
                (slope,) = torch.autograd.grad(loss, prototypes)
        if processes()[1] > 1:
            distributed.all_reduce(slope)
        self.prototypes.sub_(slope, alpha=alpha)

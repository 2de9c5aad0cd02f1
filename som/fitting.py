"""What every fit of a map to codes has in common.

The epochs themselves are in som/batch_fit.py and som/minibatch_fit.py. Work is done less an origin m near the codes'
mean: prototypes are kept as V = W - m and every batch comes as x - m, so that no search has to centre them again. The
rules allow it (see som/rules.py); cosine distance does not, and takes m = 0.

Several processes (``torch.distributed``, initialised by the caller) are all given the same codes, and each takes its
share of every batch; with the deterministic sums of som/sums.py they end bit-equal to one process. A DataLoader yields
each process its own share, and equally many batches.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from numbers import Integral
from typing import Literal, get_args

import torch
from torch import Generator, Tensor, distributed

from som.bounds import Dense, Pruned, fast_bounds
from som.checks import check_name
from som.index import Bounds, Index
from som.map import SelfOrganizingMap
from som.rules import Rule
from som.schedules import Schedule
from som.sources import Source

SearchMethod = Literal["auto", "dense", "pruned"]
NARROW = 1e-3  # lattice steps; a neighbourhood of this width, or less, is the BMU alone


@dataclass(frozen=True)
class Plan:
    """How a map is fitted; :class:`som.estimator.SOM` says what each means."""

    rule: Rule
    sigma: Schedule
    alpha: Schedule
    epochs: int
    batch_size: int
    shuffle: bool
    search: SearchMethod
    deterministic: bool
    seed: int

    def __post_init__(self) -> None:
        check_name("search", self.search, get_args(SearchMethod))
        for name, value in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1; got {name}={value!r}")
        if self.sigma.start <= 0 or self.sigma.end < 0:
            raise ValueError(f"sigma must start above 0 and not end below; got {self.sigma.start} to {self.sigma.end}")
        if self.alpha.start < 0 or self.alpha.end < 0:
            raise ValueError(f"alpha must be at least 0; got {self.alpha.start} to {self.alpha.end}")


@dataclass
class Progress:
    """What has been done, and what it gave.

    Attributes:
        epoch: whole epochs done.
        sigma: the neighbourhood's width at the start of each.
        mean_squared_distance: of the codes to their BMU, in each, before each update.
        rescored: codes that a search decided in float64, in each.
    """

    epoch: int = 0
    sigma: list[float] = field(default_factory=list)
    mean_squared_distance: list[float] = field(default_factory=list)
    rescored: list[int] = field(default_factory=list)


class Fit(ABC):
    """A fit in progress. Between epochs the map is ready for use.

    Args:
        som: an initialised map; its prototypes are moved in place.
        source: where codes come from.
        plan: how to fit.
        origin: (D,) a vector near the codes' mean, in the space of the prototypes; the same on every process.
    """

    largest: float | None = None  # absolute value in any encoded code, where sums are deterministic

    def __init__(self, som: SelfOrganizingMap, source: Source, plan: Plan, origin: Tensor) -> None:
        self.som, self.source, self.plan = som, source, plan
        self.centred = som.distance != "cosine"
        self.origin = origin if self.centred else torch.zeros_like(origin)
        self.progress = Progress()
        self._tile: Tensor | None = None

    @property
    def prototypes(self) -> Tensor:
        """(K, D) prototypes of the map, to be moved in place; less the origin while an epoch runs."""
        return self.som.prototypes.detach()

    @torch.no_grad()
    def measure(self) -> None:
        """Look through the codes once, if deterministic sums are to be scaled to them."""
        if self.plan.deterministic:
            self.largest = max(float(self.encode(batch).abs().max()) for batch in self.source.batches())

    @torch.no_grad()
    def run_epoch(self) -> None:
        """Run the next epoch."""
        self.progress.sigma.append(self.sigma(self.progress.epoch / self.plan.epochs))
        self.prototypes.sub_(self.origin)
        try:
            squared, rescored, samples = self.epoch()
        except BaseException:
            self.progress.sigma.pop()
            raise
        finally:  # whatever happened, the map is to be in its own space again
            self.prototypes.add_(self.origin)
            self.som.constrain()
        self.progress.mean_squared_distance.append(max(squared, 0.0) / max(samples, 1))
        self.progress.rescored.append(rescored)
        self.progress.epoch += 1

    @abstractmethod
    def epoch(self) -> tuple[float, int, int]:
        """Walk the codes once: sum of squared distances, codes rescored and codes seen, over all processes."""

    @property
    def state(self) -> dict[str, Tensor]:
        """What the next epoch depends on beside the map and the progress; to be written to when a fit goes on."""
        return {}

    def sigma(self, progress: float) -> float:
        """The neighbourhood's width, above 0 where the schedule has come down to it."""
        return max(self.plan.sigma(progress), NARROW)

    def encode(self, batch: Tensor) -> Tensor:
        """Raw codes (B, D) in the space of V, valid until the next call: fresh pages cost more than the difference."""
        codes = self.som.encode(batch)
        if self._tile is None or len(self._tile) < len(codes):
            self._tile = torch.empty_like(codes)
        return torch.sub(codes, self.origin, out=self._tile[: len(codes)])

    def index(self) -> Index:
        """The prototypes as they are now, ready for search."""
        return Index(self.prototypes, centred=self.centred)

    def bounds(self, index: Index, codes: int) -> Bounds:
        """The search that the plan names, for so many codes."""
        match self.plan.search:
            case "dense":
                return Dense(index)
            case "pruned":
                return Pruned(index)
            case _:
                return fast_bounds(index, codes)


def processes() -> tuple[int, int]:
    """Number of this process, and of processes."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def over_processes(*numbers: float, device: torch.device) -> list[float]:
    """Each number added up over all processes; a collective."""
    if processes()[1] == 1:
        return list(numbers)
    sums = torch.tensor(numbers, dtype=torch.float64, device=device)
    distributed.all_reduce(sums)
    return sums.tolist()


def agree(tensor: Tensor) -> Tensor:
    """Overwrite a tensor by the first process's; a collective."""
    if processes()[1] > 1:
        distributed.broadcast(tensor, 0)
    return tensor


def seeded(seed: int, *more: int) -> Generator:
    """A CPU generator that depends on these numbers alone."""
    generator = Generator()
    for number in (seed, *more):
        generator.manual_seed((generator.initial_seed() * 1_000_003 + number + 1) % 2**63)
    return generator

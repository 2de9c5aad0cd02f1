"""The map for people who have arrays: an estimator in scikit-learn's conventions, around the map of som/map.py."""

import os
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from som.checkpoint import Checkpoint
from som.fitting import Plan, Progress, SearchMethod
from som.initial import InitialMethod
from som.lattice import Topology
from som.map import Distance, SelfOrganizingMap
from som.neighbourhood import Neighbourhood
from som.rules import Rule
from som.schedules import ScheduleKind, between
from som.sources import ArraySource, Source, is_source, open_source
from som.start import fit_seed, start_fit
from som.storage import read_tensors, write_tensors
from som.streaming import stream_bmus, stream_distances, stream_mean
from som.winners import Winner

Codes = ArrayLike | Tensor | DataLoader[Any]


class SOM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Self-organizing map of codes (N, D): arrays, tensors, memory maps, or a DataLoader.

    Args:
        rows: rows of the lattice.
        cols: columns of the lattice.
        topology: "torus" or "plane".
        neighbourhood: "gaussian" (minimum image), "wrapped_gaussian" (sum over images; smooth) or "bubble".
        distance: "euclidean" or "cosine".
        rule: "batch" (Kohonen's batch map), "gradient" (plain SGD on the energy) or "ema" (moving averages).
        winner: "kohonen", "heskes" or "soft"; the last two with rule "gradient" only.
        sigma: width of the neighbourhood in lattice steps at the first and the last sample; None for half the longer
            side and 0.5.
        alpha: learning rate at the first and the last sample; the batch rule has none.
        schedule: how both move: "linear", "exponential", "cosine" or "inverse"; by samples seen, or by batches of a
            DataLoader, whose length must be known, or they move between epochs only.
        epochs: passes over the codes.
        batch_size: codes an update, over all processes; the batch rule takes all codes.
        shuffle: whether the batches of an epoch are drawn anew, by random_state.
        init: "pca", "sample", "random" or "normal" (see som/initial.py), or the prototypes (K, D).
        search: "auto", or one method for all: "dense" or "pruned"; all find the same units (see som/bounds.py).
        standardise: whether each dimension is brought to mean 0 and deviation 1 first.
        deterministic: whether sums are kept in fixed point, so that a map is the same, bit for bit, from run to run and
            on any number of processes; arrays only, and winner "kohonen".
        checkpoint: a file to which every epoch is written; if it exists, the fit goes on from it, with its seed if
            random_state is None.
        random_state: seed of everything random: an integer, or what scikit-learn takes.
        device: a torch device; None for the CPU.
        verbose: whether a bar shows epochs and time left.

    Attributes:
        map_: the fitted :class:`SelfOrganizingMap`.
        prototypes_: (K, D) array, in the space of the map (see ``standardise``).
        labels_: (N,) BMUs of the fitted codes; not after a DataLoader, ``partial_fit`` or ``load``.
        progress_: epochs done, with sigma, mean squared distance and rescored codes of each.
        n_iter_: epochs done.

    Example:
        >>> codes = np.random.default_rng(0).normal(size=(200, 8)).astype("float32")
        >>> som = SOM(rows=4, cols=6, random_state=0).fit(codes)
        >>> som.predict(codes).shape, som.transform(codes).shape
        ((200,), (200, 24))
    """

    def __init__(
        self,
        rows: int = 10,
        cols: int = 10,
        *,
        topology: Topology = "torus",
        neighbourhood: Neighbourhood = "wrapped_gaussian",
        distance: Distance = "euclidean",
        rule: Rule = "batch",
        winner: Winner = "kohonen",
        sigma: tuple[float, float] | None = None,
        alpha: tuple[float, float] = (1.0, 1.0),
        schedule: ScheduleKind = "exponential",
        epochs: int = 10,
        batch_size: int = 256,
        shuffle: bool = True,
        init: InitialMethod | ArrayLike | Tensor = "pca",
        search: SearchMethod = "auto",
        standardise: bool = False,
        deterministic: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str | torch.device | None = None,
        verbose: bool = False,
    ) -> None:
        self.rows = rows
        self.cols = cols
        self.topology = topology
        self.neighbourhood = neighbourhood
        self.distance = distance
        self.rule = rule
        self.winner = winner
        self.sigma = sigma
        self.alpha = alpha
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.init = init
        self.search = search
        self.standardise = standardise
        self.deterministic = deterministic
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Codes, y: object = None) -> Self:
        """Fit the map.

        Args:
            X: codes (N, D), finite.
            y: ignored.

        Returns:
            This estimator.

        Raises:
            ValueError: if a parameter is out of its range, or X is empty, not (N, D) or not finite (naming the row).
        """
        source = self._source(X, reset=True)
        checkpoint = None if self.checkpoint is None else Checkpoint(self.checkpoint, self._settings())
        self._begin(source, checkpoint)
        try:
            with tqdm(total=self.epochs, initial=self.n_iter_, unit="epoch", disable=not self.verbose) as bar:
                while self.n_iter_ < self.epochs:
                    self._fit.run_epoch()
                    if checkpoint is not None:
                        checkpoint.write(self._fit)
                    bar.set_postfix_str(f"mean squared distance {self.progress_.mean_squared_distance[-1]:.4g}")
                    bar.update()
        finally:
            del self._fit.source  # a map is not to keep, or pickle, the codes
        if isinstance(source, ArraySource):
            self.labels_ = stream_bmus(self.map_, source).cpu().numpy()
        return self

    def partial_fit(self, X: Codes, y: object = None) -> Self:
        """Run one more epoch, on these codes (N, D): ``epochs`` calls with the same codes do what ``fit`` does."""
        fresh = not hasattr(self, "map_")
        if not fresh and not hasattr(self, "_fit"):
            raise ValueError("a map that was loaded cannot be fitted further: fit with a checkpoint to go on later")
        source = self._source(X, reset=fresh)
        if fresh:
            self._begin(source, None)
        else:
            source.check()
            self._fit.source = source
            self._fit.measure()
        self._fit.run_epoch()
        self.__dict__.pop("labels_", None)  # of the fit before
        del self._fit.source
        return self

    def predict(self, X: Codes) -> NDArray[np.int64] | Tensor:
        """Find the best matching units.

        Args:
            X: codes (N, D).

        Returns:
            (N,) unit numbers, row * cols + col: a tensor, on its device, for a tensor, otherwise an array.
        """
        return self._like(X, stream_bmus(*self._fitted(X)))

    def transform(self, X: Codes) -> NDArray[Any] | Tensor:
        """Measure the distance to every unit.

        Args:
            X: codes (N, D).

        Returns:
            (N, K) distances, float64 for float64 codes and float32 for all others.
        """
        # By name: numpy takes None, the type of a DataLoader, for its float64.
        double = str(getattr(X, "dtype", "")) in ("float64", "torch.float64")
        return self._like(X, stream_distances(*self._fitted(X), torch.float64 if double else torch.float32))

    def score(self, X: Codes, y: object = None) -> float:
        """The quantisation error with its sign turned: minus the mean distance to the BMU, higher is better."""
        return -self.quantisation_error(X)

    def quantisation_error(self, X: Codes) -> float:
        """Mean distance of codes (N, D) to their BMU; lower is better, 0 = every code is a prototype."""
        return stream_mean(*self._fitted(X), lambda winners: winners.distance)

    def topographic_error(self, X: Codes) -> float:
        """Share of codes (N, D) whose two nearest units are not neighbours (Kiviluoto 1996); lower is better."""
        return stream_mean(*self._fitted(X), lambda found: ~self.map_.lattice.are_neighbours(found.bmu, found.second))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the map to a safetensors file, its settings as metadata."""
        check_is_fitted(self, "map_")
        settings = {"settings": self._settings(), "progress": vars(self.progress_)}
        write_tensors(path, self.map_.state_dict(), settings)

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str | torch.device | None = None) -> Self:
        """Read a map that :meth:`save` wrote, to a device; the CPU if None."""
        tensors, metadata = read_tensors(path)
        if not {"settings", "progress"} <= set(metadata) or "prototypes" not in tensors:
            raise ValueError(f"'{path}' holds no map: give a file that SOM.save wrote")
        settings = metadata["settings"]
        if unknown := sorted(set(settings) - set(cls._get_param_names())):
            raise ValueError(f"'{path}' has settings that this version does not know: {', '.join(unknown)}")
        som = cls(**settings, device=device)
        som.n_features_in_ = tensors["prototypes"].shape[1]
        som.map_ = som._make(som.n_features_in_)
        som.map_.load_state_dict(tensors)
        som.progress_ = Progress(**metadata["progress"])
        return som

    @property
    def prototypes_(self) -> NDArray[np.float32]:
        """(K, D) prototypes; shares memory with the map on the CPU."""
        return self.map_.prototypes.detach().cpu().numpy()

    @property
    def n_iter_(self) -> int:
        """Epochs done."""
        return self.progress_.epoch

    @property
    def _n_features_out(self) -> int:
        return self.map_.lattice.units

    def _settings(self) -> dict[str, Any]:
        """The parameters that make the map what it is."""
        where = ("device", "checkpoint", "verbose", "random_state")  # the seed is drawn from the last when a fit starts
        settings = {name: value for name, value in self.get_params(deep=False).items() if name not in where}
        return settings | {"init": self.init if isinstance(self.init, str) else "sample"}

    def _begin(self, source: Source, checkpoint: Checkpoint | None) -> None:
        """Check all parameters and codes, start the map, and make the fit ready for its next epoch.

        What is refused leaves the map of the fit before as it is.
        """
        som = self._make(source.dimensions)
        plan = Plan(
            self.rule,
            between("sigma", (max(self.rows, self.cols) / 2, 0.5) if self.sigma is None else self.sigma, self.schedule),
            between("alpha", self.alpha, self.schedule),
            self.epochs,
            self.batch_size,
            self.shuffle,
            self.search,
            self.deterministic,
            fit_seed(self.random_state, checkpoint, torch.device(self.device or "cpu")),
        )
        init: Any = self.init if isinstance(self.init, str) else torch.as_tensor(self.init)
        fit = start_fit(som, source, plan, init)
        progress = fit.progress if checkpoint is None else checkpoint.resume(fit)
        self.__dict__.pop("labels_", None)
        self.map_, self._fit, self.progress_, self.n_features_in_ = som, fit, progress, source.dimensions

    def _make(self, dimensions: int) -> SelfOrganizingMap:
        return SelfOrganizingMap(
            self.rows,
            self.cols,
            dimensions,
            topology=self.topology,
            neighbourhood=self.neighbourhood,
            distance=self.distance,
            winner=self.winner,
            standardise=self.standardise,
        ).to(self.device or "cpu")

    def _source(self, X: Codes, reset: bool) -> Source:
        if not is_source(X):
            X = validate_data(self, X, reset=reset, dtype=[np.float32, np.float64], ensure_all_finite=False)
        source = open_source(X, torch.device(self.device or "cpu"))
        if not reset and source.dimensions != self.n_features_in_:
            expected = self.n_features_in_
            raise ValueError(f"X has {source.dimensions} features, but SOM is expecting {expected} features as input")
        return source

    def _fitted(self, X: Codes) -> tuple[SelfOrganizingMap, Source]:
        check_is_fitted(self, "map_")
        source = self._source(X, reset=False)
        source.check()
        return self.map_, source

    @staticmethod
    def _like(X: Codes, result: Tensor) -> Any:
        return result.to(X.device) if isinstance(X, Tensor) else result.cpu().numpy()

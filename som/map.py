"""The self-organizing map: prototypes (K, D) on a lattice, with its search and its energy.

Plain PyTorch: the prototypes are a parameter and ``energy`` is a loss, so any training loop with plain SGD fits the
map. Codes (N, D) come in raw; a map encodes them first: a standardising map by its own running statistics, a map of
cosine distance by scaling them to length 1. Prototypes live in the encoded space.
"""

from typing import Literal, get_args

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from som.checks import LARGEST, check_codes, check_shape
from som.energy import energy
from som.initial import InitialMethod, initial_prototypes
from som.lattice import Lattice, Topology
from som.neighbourhood import Factors, Neighbourhood, check_neighbourhood, neighbourhood_factors
from som.search import Winners, find_bmus
from som.standardiser import RunningStandardiser
from som.winners import Winner, check_winner, heskes_bmus, soft_energy

Distance = Literal["euclidean", "cosine"]


class SelfOrganizingMap(nn.Module):
    """A self-organizing map of codes.

    Attributes: ``lattice``; ``prototypes`` (K, D), zeros until initialised; ``initialised``, a bool buffer;
    ``standardiser``, or None. All but the lattice travel in the ``state_dict``.

    Args:
        rows: rows of the lattice.
        cols: columns of the lattice.
        dimensions: D.
        topology: ``"torus"`` or ``"plane"``.
        neighbourhood: ``"gaussian"``, ``"wrapped_gaussian"`` or ``"bubble"``.
        distance: ``"euclidean"``, or ``"cosine"``: 1 - cos; a code of length 0 is at 0.5 from every unit.
        winner: whose neighbourhood a code pulls: ``"kohonen"``, the BMU; ``"heskes"``, the unit of least energy;
            ``"soft"``, all units by their energy.
        standardise: whether codes pass through a :class:`RunningStandardiser`, which the caller updates.

    Raises:
        ValueError: if a side or ``dimensions`` is below 1, or a name is unknown.

    Example:
        >>> codes = torch.tensor([[0.0, 0.0], [4.0, 3.0]])
        >>> som = SelfOrganizingMap(rows=1, cols=2, dimensions=2)
        >>> som.initialise(codes)
        >>> loss, winners = som.energy(codes, sigma=0.1)
        >>> winners.distance, winners.second_distance
        (tensor([0., 0.]), tensor([5., 5.]))
    """

    initialised: Tensor

    def __init__(
        self,
        rows: int,
        cols: int,
        dimensions: int,
        *,
        topology: Topology = "torus",
        neighbourhood: Neighbourhood = "gaussian",
        distance: Distance = "euclidean",
        winner: Winner = "kohonen",
        standardise: bool = False,
    ) -> None:
        super().__init__()
        if dimensions < 1:
            raise ValueError(f"codes need at least 1 dimension; got dimensions={dimensions}")
        check_neighbourhood(neighbourhood)
        check_winner(winner)
        if distance not in get_args(Distance):
            raise ValueError(f"distance {distance!r} is unknown; choose 'euclidean' or 'cosine'")
        self.lattice = Lattice(rows, cols, topology)
        self.dimensions = dimensions
        self.neighbourhood = neighbourhood
        self.distance = distance
        self.winner = winner
        self.prototypes = nn.Parameter(torch.zeros(self.lattice.units, dimensions))
        self.register_buffer("initialised", torch.tensor(False))
        self.standardiser = RunningStandardiser(dimensions) if standardise else None

    @torch.no_grad()
    def initialise(
        self, codes: Tensor, method: InitialMethod | Tensor = "sample", generator: Generator | None = None
    ) -> None:
        """Set the prototypes. Processes agree only if they get equal codes and equally seeded generators.

        Args:
            codes: (N, D) raw codes, N >= 1.
            method: ``"sample"``, ``"random"`` or ``"pca"`` (see som/initial.py), or the prototypes themselves (K, D).
            generator: source of randomness, on the CPU whatever the map's device, so that devices agree; the global
                generator if None.

        Raises:
            ValueError: if the codes are none, not (N, D) or not finite, the method is unknown, the given prototypes
                are not (K, D) or not finite, or the standardiser has seen no codes.
        """
        check_shape(codes, self.dimensions)
        check_codes(codes)
        if self.standardiser is not None and self.standardiser.count == 0:
            raise ValueError(
                "the map standardises but has seen no codes: call standardiser.update(codes) before initialise, or its "
                "prototypes would lie in another space than later codes"
            )
        if isinstance(method, Tensor):
            if method.shape != self.prototypes.shape:
                wanted = tuple(self.prototypes.shape)
                raise ValueError(f"given prototypes have shape {tuple(method.shape)}; this map needs {wanted}")
            check_codes(method)
            self.prototypes.copy_(method)
        else:
            self.prototypes.copy_(initial_prototypes(self.encode(codes), self.lattice, method, generator))
        self.initialised.fill_(True)
        self.constrain()

    def encode(self, codes: Tensor) -> Tensor:
        """Take raw codes to the space of the prototypes; differentiable.

        Args:
            codes: (N, D) raw codes.

        Returns:
            (N, D) float32: standardised if the map standardises, of length 1 if its distance is the cosine's.
        """
        codes = codes.float() if self.standardiser is None else self.standardiser(codes)
        return _unit_length(codes) if self.distance == "cosine" else codes

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring the prototypes of a map of cosine distance back to length 1; call it after each update."""
        if self.distance == "cosine":
            self.prototypes.copy_(_unit_length(self.prototypes))

    def factors(self, sigma: float | Tensor) -> Factors:
        """The map's neighbourhood of width ``sigma``: one factor over rows and one over columns."""
        return neighbourhood_factors(self.neighbourhood, self.lattice, sigma, self.prototypes.device)

    @torch.no_grad()
    def forward(self, codes: Tensor) -> Winners:
        """Find the two nearest units of each code; no gradients.

        Args:
            codes: (B, D) raw codes.

        Returns:
            The winners; distances are in the space of the prototypes.

        Raises:
            ValueError: if the codes are not (B, D) or not finite, or the map has no prototypes yet.
        """
        self._check(codes)
        return self._nearest(self.encode(codes))

    def energy(self, codes: Tensor, sigma: float | Tensor) -> tuple[Tensor, Winners]:
        """Energy of a batch, with the winners detached; lower is better.

        Args:
            codes: (B, D) raw codes.
            sigma: width of the neighbourhood in lattice steps, above 0.

        Returns:
            Scalar energy, differentiable for prototypes and codes, and the two nearest units.

        Raises:
            ValueError: if the codes are not (B, D) or not finite, ``sigma`` is not above 0, or the map has no
                prototypes yet.
        """
        self._check(codes)
        encoded = self.encode(codes)
        winners = self._nearest(encoded)
        factors = self.factors(sigma)
        if self.winner == "soft":
            return soft_energy(encoded, self.prototypes, factors), winners
        bmu = heskes_bmus(encoded, self.prototypes, factors) if self.winner == "heskes" else winners.bmu
        return energy(encoded, self.prototypes, bmu, factors), winners

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        lattice = self.lattice
        return f"rows={lattice.rows}, cols={lattice.cols}, topology={lattice.topology!r}, dimensions={self.dimensions}"

    def _nearest(self, encoded: Tensor) -> Winners:
        winners = find_bmus(encoded.detach(), self.prototypes.detach())
        if self.distance == "euclidean":
            return winners
        # 1 - cos of vectors of length 1 is half their squared distance.
        halves = (winners.distance.square() / 2, winners.second_distance.square() / 2)
        return winners._replace(distance=halves[0], second_distance=halves[1])

    def _check(self, codes: Tensor) -> None:
        check_shape(codes, self.dimensions)
        # Both conditions in one wait for the device; which of them failed is asked only after a failure.
        if (codes.abs() <= LARGEST).all() & self.initialised:
            return
        if not self.initialised:
            raise ValueError(
                "the map has no prototypes yet: call initialise(codes), or load a state_dict, before using it"
            )
        check_codes(codes)


def _unit_length(vectors: Tensor) -> Tensor:
    """Vectors (N, D) at length 1; those of length 0 stay."""
    # By their largest number first: float32 cannot square minute ones.
    largest = vectors.detach().abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    return functional.normalize(vectors / largest, dim=1)

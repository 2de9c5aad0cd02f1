"""The self-organising map: prototypes (K, D) on a lattice, with its search and its energy.

Plain PyTorch: the prototypes are a parameter and ``energy`` is a loss, so any training loop with plain SGD fits the
map. Codes (N, D) come in raw; a standardising map carries its own statistics and keeps its prototypes in standardised
space.
"""

from typing import Literal

import torch
from torch import Generator, Tensor, nn

from som.checks import check_finite, check_shape
from som.energy import energy
from som.lattice import Lattice, Topology
from som.neighbourhood import gaussian, neighbourhood_weights
from som.search import Winners, find_bmus
from som.standardiser import RunningStandardiser

InitialMethod = Literal["sample", "random"]


class SelfOrganizingMap(nn.Module):
    """A self-organising map of codes.

    Attributes: ``lattice``; ``prototypes`` (K, D), zeros until initialised; ``initialised``, a bool buffer;
    ``standardiser``, or None. All but the lattice travel in the ``state_dict``.

    Args:
        rows: rows of the lattice.
        cols: columns of the lattice.
        dimensions: D.
        topology: ``"torus"`` or ``"plane"``.
        standardise: whether codes pass through a :class:`RunningStandardiser`, which the caller updates.

    Raises:
        ValueError: if a side or ``dimensions`` is below 1, or the topology is unknown.

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
        self, rows: int, cols: int, dimensions: int, *, topology: Topology = "torus", standardise: bool = False
    ) -> None:
        super().__init__()
        if dimensions < 1:
            raise ValueError(f"codes need at least 1 dimension; got dimensions={dimensions}")
        self.lattice = Lattice(rows, cols, topology)
        self.dimensions = dimensions
        self.prototypes = nn.Parameter(torch.zeros(self.lattice.units, dimensions))
        self.register_buffer("initialised", torch.tensor(False))
        self.standardiser = RunningStandardiser(dimensions) if standardise else None

    @torch.no_grad()
    def initialise(self, codes: Tensor, method: InitialMethod = "sample", generator: Generator | None = None) -> None:
        """Set the prototypes from codes. Processes agree only if they get equal codes and equally seeded generators.

        Args:
            codes: (N, D) raw codes, N >= 1.
            method: ``"sample"``: K codes without replacement if N >= K, otherwise every code at least once;
                ``"random"``: normal numbers with the codes' mean and standard deviation in each dimension.
            generator: source of randomness, on the CPU whatever the map's device, so that devices agree; the global
                generator if None.

        Raises:
            ValueError: if the codes are none, not (N, D) or not finite, the method is unknown, or the standardiser has
                seen no codes.
        """
        check_shape(codes, self.dimensions)
        if len(codes) == 0:
            raise ValueError("a map needs at least 1 code to start from; got 0")
        check_finite(codes)
        if self.standardiser is not None and self.standardiser.count == 0:
            raise ValueError(
                "the map standardises but has seen no codes: call standardiser.update(codes) before initialise, or its "
                "prototypes would lie in another space than later codes"
            )
        units = self.lattice.units
        codes = self.encode(codes)
        match method:
            case "sample":
                rounds = -(-units // len(codes))
                order = torch.cat([torch.randperm(len(codes), generator=generator) for _ in range(rounds)])
                prototypes = codes[order[:units].to(codes.device)]
            case "random":
                noise = torch.randn(units, self.dimensions, generator=generator).to(codes.device)
                # The population's deviation: that of a single code is 0, not NaN.
                prototypes = codes.mean(0) + codes.std(0, correction=0) * noise
            case _:
                raise ValueError(f"initial method {method!r} is unknown; choose 'sample' or 'random'")
        self.prototypes.copy_(prototypes)
        self.initialised.fill_(True)

    def encode(self, codes: Tensor) -> Tensor:
        """Take raw codes to the space of the prototypes; differentiable.

        Args:
            codes: (N, D) raw codes.

        Returns:
            (N, D) float32: standardised, or as they are if the map does not standardise.
        """
        return codes.float() if self.standardiser is None else self.standardiser(codes)

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
        return find_bmus(self.encode(codes), self.prototypes)

    def energy(self, codes: Tensor, sigma: float | Tensor) -> tuple[Tensor, Winners]:
        """Energy of a batch under a Gaussian neighbourhood, with the winners detached; lower is better.

        Args:
            codes: (B, D) raw codes.
            sigma: width of the neighbourhood in lattice steps, above 0.

        Returns:
            Scalar energy, differentiable for prototypes and codes, and the winners.

        Raises:
            ValueError: if the codes are not (B, D) or not finite, ``sigma`` is not above 0, or the map has no
                prototypes yet.
        """
        self._check(codes)
        encoded = self.encode(codes)
        winners = find_bmus(encoded, self.prototypes)
        weights = neighbourhood_weights(gaussian(self.lattice, sigma, encoded.device), winners.bmu)
        return energy(encoded, self.prototypes, weights), winners

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        lattice = self.lattice
        return f"rows={lattice.rows}, cols={lattice.cols}, topology={lattice.topology!r}, dimensions={self.dimensions}"

    def _check(self, codes: Tensor) -> None:
        check_shape(codes, self.dimensions)
        # Both conditions in one wait for the device; which of them failed is asked only after a failure.
        if torch.isfinite(codes).all() & self.initialised:
            return
        if not self.initialised:
            raise ValueError(
                "the map has no prototypes yet: call initialise(codes), or load a state_dict, before using it"
            )
        check_finite(codes)

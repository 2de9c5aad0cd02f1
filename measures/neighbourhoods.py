"""How well a map keeps neighbourhoods: trustworthiness and continuity (Venna and Kaski 2001).

N samples have codes (N, D) and positions on the map, those of their BMUs (N,). Trustworthiness asks whether samples
that are near on the map are near in code space, continuity (neighbourhood preservation) whether samples near in code
space are near on the map; a map that folds keeps the second and loses the first, one that tears loses the second.
With r(i, j) the rank of j among the neighbours of i in the one space, and U(i) the k nearest of i in the other, both
are

    1 - 2 / (N k (2N - 3k - 1)) sum_i sum_{j in U(i)} max(0, r(i, j) - k),

equations 1 and 2 of Venna and Kaski, Neighborhood preservation in nonlinear projection methods (ICANN 2001). Venna and
Kaski (2006), Local multidimensional scaling, named them as here.

Ties are the rule on a lattice: all samples of a unit share a position. Both measures are their expected value if all
ties, in either space, were broken at random: of m samples that compete for the last p places among the k nearest each
is there with chance p / m, and a penalty is averaged over the ranks that its sample may take. To let code distances
break the ties would flatter a map: with all samples on one unit it would read 1, where this reads what chance gives,
about 1/2. Since the two spaces break their ties apart, a perfect map reads slightly below 1 where ties straddle the
k-th place.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from som.checks import check_finite, check_units
from som.lattice import Lattice

VALUES = 2**20  # distances in memory at a time
STEPS = 2.0**40  # to the largest squared distance; rounding in float64 is some thousand times finer

Rows = Callable[[Tensor], Tensor]
"""Distances of some samples (B,) to all, (B, N): in any measure that keeps their order, ties equal."""


def trustworthiness(codes: Tensor, bmu: Tensor, lattice: Lattice, n_neighbors: int = 5) -> Tensor:
    """Whether samples that are near on the map are near in code space; higher is better, from 0 to 1 = all of them.

    Chance gives about 1/2. Memory is bounded, time grows with N^2 (D + log N): some thousand samples, drawn at random,
    tell enough; compare maps at equal N and k only.

    Args:
        codes: (N, D), in the space of the map (``map.encode(codes)``).
        bmu: (N,) int64 units in [0, K), of the same samples.
        lattice: the map's lattice.
        n_neighbors: k, the neighbours that count, from 1 to below N / 2.

    Returns:
        Scalar float32.

    Raises:
        ValueError: if codes and BMUs do not pair up, a code is not finite, or a BMU or ``n_neighbors`` is out of range.

    Example:
        >>> codes = torch.tensor([[0.0], [1.0], [2.1], [3.3], [4.6]])
        >>> trustworthiness(codes, torch.tensor([0, 1, 2, 3, 4]), Lattice(1, 5, "plane"), n_neighbors=2)
        tensor(1.)
        >>> trustworthiness(codes, torch.tensor([0, 4, 1, 3, 2]), Lattice(1, 5, "plane"), n_neighbors=2)
        tensor(0.4000)
    """
    _check(codes, bmu, lattice, n_neighbors)
    return _preservation(_on_map(bmu, lattice), _between(codes), len(codes), n_neighbors, codes.device)


def continuity(codes: Tensor, bmu: Tensor, lattice: Lattice, n_neighbors: int = 5) -> Tensor:
    """Whether samples that are near in code space are near on the map; higher is better, from 0 to 1 = all of them.

    Also known as neighbourhood preservation. Chance, cost and ties are as for :func:`trustworthiness`.

    Args:
        codes: (N, D), in the space of the map (``map.encode(codes)``).
        bmu: (N,) int64 units in [0, K), of the same samples.
        lattice: the map's lattice.
        n_neighbors: k, the neighbours that count, from 1 to below N / 2.

    Returns:
        Scalar float32.

    Raises:
        ValueError: if codes and BMUs do not pair up, a code is not finite, or a BMU or ``n_neighbors`` is out of range.

    Example:
        >>> angle = torch.arange(6) * torch.pi / 3 + torch.tensor([0.0, 0.1, 0.0, 0.1, 0.0, 0.1])
        >>> ring = torch.stack((angle.cos(), angle.sin()), dim=1)
        >>> continuity(ring, torch.arange(6), Lattice(1, 6), n_neighbors=2)
        tensor(1.)
        >>> continuity(ring, torch.arange(6), Lattice(1, 6, "plane"), n_neighbors=2)  # torn open
        tensor(0.8000)
    """
    _check(codes, bmu, lattice, n_neighbors)
    return _preservation(_between(codes), _on_map(bmu, lattice), len(codes), n_neighbors, codes.device)


def _check(codes: Tensor, bmu: Tensor, lattice: Lattice, n_neighbors: int) -> None:
    if codes.ndim != 2 or bmu.shape != codes.shape[:1]:
        raise ValueError(
            f"codes (N, D) and bmu (N,) must pair up; got shapes {tuple(codes.shape)} and {tuple(bmu.shape)}"
        )
    if not 1 <= n_neighbors < len(codes) / 2:
        raise ValueError(
            f"n_neighbors must be from 1 to below half of the {len(codes)} samples; got {n_neighbors}: lower it or "
            "give more samples"
        )
    check_finite(codes)
    check_units(bmu, lattice)


def _on_map(bmu: Tensor, lattice: Lattice) -> Rows:
    return lambda samples: lattice.distance(bmu[samples, None], bmu)


def _between(codes: Tensor) -> Rows:
    """Squared Euclidean distances, in steps fine enough to rank by and coarse enough that rounding breaks no tie."""
    centred = codes.detach().double()
    centred = centred - centred.mean(0)
    squares = centred.square().sum(1)
    scale = STEPS / (4 * squares.max()).clamp(min=1e-200)  # equal codes have squares of 0, and no infinite scale

    def rows(samples: Tensor) -> Tensor:
        squared = torch.addmm(squares[samples, None] + squares, centred[samples], centred.T, alpha=-2)
        return squared.mul_(scale).round_().clamp_(min=0)

    return rows


@torch.no_grad()
def _preservation(near: Rows, ranked: Rows, samples: int, k: int, device: torch.device | None = None) -> Tensor:
    """The formula above: U(i) from the distances ``near``, r(i, j) from the distances ``ranked``."""
    penalty = torch.zeros((), dtype=torch.float64, device=device)
    for rows in torch.arange(samples, device=device).split(max(1, VALUES // samples)):
        chance, members = _nearest(_without_self(near(rows), rows), k)
        distances = _without_self(ranked(rows), rows)
        penalty += (chance * _penalties(distances, members, k)).sum()
    return (1 - penalty * 2 / (samples * k * (2 * samples - 3 * k - 1))).float()


def _without_self(distances: Tensor, rows: Tensor) -> Tensor:
    return distances.scatter_(1, rows[:, None], torch.inf)


def _nearest(distances: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Chance of being among the k nearest, and sample, for each that may be: (B, m) both, m >= k, ties included."""
    last = distances.kthvalue(k, dim=1, keepdim=True).values
    width = int((distances <= last).sum(1).max())
    nearest, members = distances.topk(width, dim=1, largest=False)
    surely, perhaps = nearest < last, nearest == last
    places = k - surely.sum(1, keepdim=True)
    return surely + perhaps * (places.double() / perhaps.sum(1, keepdim=True)), members


def _penalties(distances: Tensor, members: Tensor, k: int) -> Tensor:
    """Mean of max(0, r - k) over the ranks r that each member (B, m) may take among its ties."""
    ordered = distances.sort(dim=1).values
    own = distances.gather(1, members)
    before = torch.searchsorted(ordered, own)  # ranks are before + 1 .. until
    until = torch.searchsorted(ordered, own, right=True)
    low, high = (before - k).clamp(min=0), (until - k).clamp(min=0)
    # 1 + ... + high less 1 + ... + low, over the number of ranks.
    return (high * (high + 1) - low * (low + 1)).double() / (2 * (until - before))

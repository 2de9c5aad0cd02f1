"""Feature maps (B, C, H, W) to vector codes (B, D): four statistics of every channel.

A vector code describes each channel by its maximum, its mean, its standard deviation and its center of mass, after
Lee and Vijayan, arXiv 2205.10952, Fig. 1. The paper does not say how signed maps or dead channels are treated; the
rules below are this project's. Legend: B batch, C channels, D code dimensions.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

Statistic = Literal["max", "mean", "std", "com"]

STATISTICS: tuple[Statistic, ...] = get_args(Statistic)

# Below the smallest normal number the reciprocal of a channel's mass overflows, and its gradient with it.
_LEAST_MASS = torch.finfo(torch.float32).tiny

# What the kernel of codes/fused.py reads.
_FUSED = (torch.float32, torch.float16, torch.bfloat16)

# Values that a CPU summarises at a time: 2 MB of them stay in its cache from one statistic to the next.
_CHUNK = 2**19


def summarise(maps: Tensor, statistics: Sequence[Statistic] = STATISTICS) -> tuple[Tensor, Tensor]:
    """Summarise every channel of a batch of feature maps.

    The code lists one statistic for all channels, then the next, in the order given: ``[max | mean | std | row | col]``
    by default. Mean and standard deviation are taken over all positions (population standard deviation). The center of
    mass (``"com"``) is weighted by the non-negative part of the map, in coordinates from -1 (first row or column) to 1
    (last); an axis of a single position lies at 0. A channel without a positive part has no center of mass: it is put
    at (0, 0) and counted. Everything is computed in float32, and the gradient (of backward passes only) is finite for
    every finite map, constant and dead channels included (it is 0 where the statistic has no derivative). NaN and
    infinities in a map come out as NaN or infinities; only a maximum and a center of mass may not see a -inf.

    Args:
        maps: Feature maps, (B, C, H, W), in any floating type and memory format.
        statistics: The statistics that make up the code, in this order.

    Returns:
        The codes, (B, D) float32, and the number of channels without a center of mass, (B,) int64 (0 when ``"com"`` is
        not selected).

    Raises:
        ValueError: If ``maps`` is not 4-D, or ``statistics`` is empty or holds an unknown or repeated name.

    Example:
        >>> maps = torch.tensor([[[[0.0, 0.0, 4.0], [0.0, 0.0, 0.0]]]])  # all mass in the upper right corner
        >>> code, dead = summarise(maps, ("max", "com"))
        >>> code.tolist(), dead.tolist()
        ([[4.0, -1.0, 1.0]], [0])
    """
    check_statistics(statistics)
    if maps.ndim != 4:
        raise ValueError(f"maps must be (batch, channels, height, width), got shape {tuple(maps.shape)}")
    if maps.is_cuda and maps.dtype in _FUSED and maps.numel() and not (torch.is_grad_enabled() and maps.requires_grad):
        kernel = _fused(maps.device)
        if kernel is not None:
            return kernel(maps, statistic_slices(maps.shape[1], statistics))
    # Channels last, as convolutions leave them in memory: the other way round, the sums are 30 times slower.
    maps = maps.permute(0, 2, 3, 1)
    size = max(1, _CHUNK // max(1, maps[:1].numel())) if maps.device.type == "cpu" else max(1, len(maps))
    parts = [_reduce(part.float(), statistics) for part in maps.split(size)]
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    dead = torch.zeros(len(maps), dtype=torch.int64, device=maps.device)
    if "max" in found:
        found["max"] = found["max"].amax(dim=1)
    if "std" in statistics:
        found["std"] = _standard_deviation(found)
    if "com" in statistics:
        found["row"], found["col"], dead = _center_of_mass(found)
    return torch.cat([found[name] for name in _block_names(statistics)], dim=1), dead


def code_width(channels: int, statistics: Sequence[Statistic] = STATISTICS) -> int:
    """Give the number of code dimensions D of a layer with ``channels`` channels.

    Example:
        >>> code_width(64)
        320
    """
    check_statistics(statistics)
    return channels * len(_block_names(statistics))


def statistic_slices(channels: int, statistics: Sequence[Statistic] = STATISTICS) -> dict[str, slice]:
    """Say which code dimensions hold which statistic.

    Args:
        channels: Number of channels C of the layer.
        statistics: The statistics that make up the code, in this order.

    Returns:
        A slice of the D dimensions for each of ``max``, ``mean``, ``std``, ``row`` and ``col`` that the code holds.

    Raises:
        ValueError: If ``statistics`` is empty or holds an unknown or repeated name.

    Example:
        >>> statistic_slices(64, ("mean", "com"))
        {'mean': slice(0, 64, None), 'row': slice(64, 128, None), 'col': slice(128, 192, None)}
    """
    check_statistics(statistics)
    names = _block_names(statistics)
    return {name: slice(i * channels, (i + 1) * channels) for i, name in enumerate(names)}


def check_statistics(statistics: Sequence[Statistic]) -> None:
    """Refuse a list of statistics that is empty or holds an unknown or repeated name.

    Raises:
        ValueError: If it is; the message names the offender.
    """
    allowed = f"choose from {', '.join(STATISTICS)}, each at most once"
    if isinstance(statistics, str):
        raise ValueError(f"statistics must be a list of names, got the string {statistics!r}; write ({statistics!r},)")
    if not statistics:
        raise ValueError(f"statistics is empty; {allowed}")
    for name in statistics:
        if name not in STATISTICS:
            raise ValueError(f"statistic {name!r} is unknown; {allowed}")
        if list(statistics).count(name) > 1:
            raise ValueError(f"statistic {name!r} is given more than once in {list(statistics)}; {allowed}")


@cache
def _fused(device: torch.device) -> Callable[[Tensor, dict[str, slice]], tuple[Tensor, Tensor]] | None:
    """The kernel of codes/fused.py; None where Triton, or the C compiler that it starts, does not work."""
    try:
        from codes import fused

        fused.summarise(torch.zeros(1, 1, 1, 1, device=device), statistic_slices(1))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a kernel lacks here, torch can do without
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings.warn(f"Triton makes no kernel here ({reason}): torch takes the codes alone, slower", stacklevel=3)
        return None
    return fused.summarise


def _block_names(statistics: Sequence[Statistic]) -> list[str]:
    names: list[str] = []
    for name in statistics:
        names += ["row", "col"] if name == "com" else [name]
    return names


def _reduce(maps: Tensor, statistics: Sequence[Statistic]) -> dict[str, Tensor]:
    """What has to see every value of maps (B, H, W, C).

    Returns:
        Mean and variance (B, C); the maximum of each column, (B, W, C): both dimensions at once are 15 times slower for
        few channels; and the mass of each row, (B, H, C), and column, (B, W, C).
    """
    found: dict[str, Tensor] = {}
    if "max" in statistics or "std" in statistics:
        found["max"] = maps.amax(dim=1)
    if "mean" in statistics or "std" in statistics:
        found["mean"] = maps.mean(dim=(1, 2))
    if "std" in statistics:
        # The variance does not change with the center at the mean, so that no gradient passes through it. Subtracts
        # and squares in one pass; torch.var is 20 times slower where channels are last.
        center = found["mean"].detach()[:, None, None].expand_as(maps)
        found["variance"] = functional.mse_loss(maps, center, reduction="none").mean(dim=(1, 2))
    if "com" in statistics:
        positive = maps.relu()
        found["rows"], found["cols"] = positive.sum(dim=2), positive.sum(dim=1)
    return found


def _standard_deviation(found: dict[str, Tensor]) -> Tensor:
    # A constant channel's mean is off by a rounding, and its variance by the square of that.
    rounding = 1e-6 * found["max"].abs()
    constant = ((found["max"] - found["mean"]).abs() <= rounding) & (found["variance"] <= rounding.square())
    # The derivative of sqrt at 0 is infinite, and infinity times the inner 0 is NaN: both branches of the outer
    # `where` must have finite gradients, hence the inner one.
    # Asked for this way round, NaN counts as neither constant nor dead: it must stay visible in the code.
    constant |= found["variance"] <= 0
    return torch.where(constant, 0.0, torch.where(constant, 1.0, found["variance"]).sqrt())


def _center_of_mass(found: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Row and column of the center of mass, (B, C) each, and the number of channels without one, (B,)."""
    mass = found["rows"].sum(dim=1)
    alive = ~(mass < _LEAST_MASS)  # NaN is not dead: it must stay visible in the code
    divisor = torch.where(alive, mass, 1.0)
    # An elementwise product, not a matmul: autocast and TF32 would round a matmul's inputs.
    moments = ((part * _axis(part.shape[1], part.device)).sum(dim=1) for part in (found["rows"], found["cols"]))
    row, col = (torch.where(alive, moment / divisor, 0.0) for moment in moments)
    return row, col, (~alive).sum(dim=1)


def _axis(length: int, device: torch.device) -> Tensor:
    """The coordinates of the positions, (length, 1)."""
    if length == 1:  # linspace would put a single position at -1
        return torch.zeros(1, 1, device=device)
    return torch.linspace(-1.0, 1.0, length, device=device)[:, None]

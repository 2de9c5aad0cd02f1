"""Schedules of sigma and the learning rate over the progress of a fit.

Progress runs from 0 to 1 and is to be counted in global samples seen, so that it does not depend on the batch size or
the number of processes. A schedule is a pure function of it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Literal, assert_never, get_args

ScheduleKind = Literal["linear", "exponential", "cosine", "inverse"]


@dataclass(frozen=True)
class Schedule:
    """A value that moves from ``start`` to ``end`` as progress p goes from 0 to 1.

    Args:
        start: value at p <= 0.
        end: value at p >= 1.
        kind: ``"linear"``: start + (end - start) p; ``"exponential"``: start (end / start)^p, an equal factor in equal
            time; ``"cosine"``: end + (start - end) (1 + cos(pi p)) / 2, flat at both ends; ``"inverse"``:
            1 / (1 / start + (1 / end - 1 / start) p), MiniSom's asymptotic decay where end = start / 3.

    Raises:
        ValueError: if a value is not finite, the kind is unknown, or it is exponential or inverse and a value is not
            above 0.

    Example:
        >>> Schedule(16.0, 1.0)(0.5)
        4.0
        >>> Schedule(16.0, 1.0, kind="linear")(2.0)  # clamped
        1.0
    """

    start: float
    end: float
    kind: ScheduleKind = "exponential"

    def __post_init__(self) -> None:
        if self.kind not in get_args(ScheduleKind):
            allowed = ", ".join(repr(name) for name in get_args(ScheduleKind))
            raise ValueError(f"schedule kind {self.kind!r} is unknown; choose one of {allowed}")
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise ValueError(f"a schedule needs finite values; got start={self.start}, end={self.end}")
        if self.kind in ("exponential", "inverse") and not (self.start > 0 and self.end > 0):
            raise ValueError(
                f"an {self.kind} schedule needs values above 0; got start={self.start}, end={self.end}; "
                "raise them or choose kind='linear'"
            )

    def __call__(self, progress: float) -> float:
        """The value at ``progress``, which is clamped to [0, 1]."""
        p = min(max(progress, 0.0), 1.0)
        # Each form weighs the two ends, so that p = 0 and p = 1 return them without rounding.
        match self.kind:
            case "linear":
                return self.start * (1 - p) + self.end * p
            case "exponential":
                return self.start ** (1 - p) * self.end**p
            case "cosine":
                share = (1 + math.cos(math.pi * p)) / 2
                return self.start * share + self.end * (1 - share)
            case "inverse":
                share = self.end * (1 - p) / (self.end * (1 - p) + self.start * p)
                return self.start * share + self.end * (1 - share)
            case _:
                assert_never(self.kind)


def between(name: str, ends: Iterable[float], kind: ScheduleKind) -> Schedule:
    """The schedule of a parameter that is given by its first and last value.

    Raises:
        ValueError: naming the parameter, if it is not two numbers; and as :class:`Schedule` does.
    """
    pair = list(ends) if isinstance(ends, Iterable) else []
    if len(pair) != 2 or not all(isinstance(value, Real) for value in pair):
        raise ValueError(f"{name} must be two numbers, its values at the first and at the last sample; got {ends!r}")
    return Schedule(pair[0], pair[1], kind)

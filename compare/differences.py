"""In what runs differ that are compared: what a reader must know before taking a difference for one of the models.

Backbones, their weights and the seed are what runs are compared for. All other settings of data, codes and maps, the
numbers of images of each class, and which images they are, ought to be equal.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from compare.run import Run

__all__ = ["differences", "warning"]

SECTIONS = ("model.", "data.", "analysis.")
TRAINER = ("max_epochs", "max_steps", "limit_train_batches", "limit_val_batches")
# What is compared, or changes no number.
APART = (
    *(f"model.{key}" for key in ("backbone", "weights", "taps", "mean", "std", "seed")),
    *(
        f"data.{key}"
        for key in ("download", "num_workers", "prefetch_factor", "attack_images", "mapping", "on_corrupt")
    ),
    "data.seed",
    "analysis.seed",
)
LONGEST = 90  # letters of a value


def differences(runs: Sequence[Run]) -> list[str]:
    """Say for each thing that differs what it is in which runs; empty if the runs compare.

    Args:
        runs: two or more, or one, which differs in nothing.
    """
    found = []
    if len({run.classes for run in runs}) > 1:
        found.append(f"classes ({_unshared(runs)})")
    if len({tuple(run.samples) for run in runs}) > 1:
        found.append(_said("validation images", runs, [_a_class(run.samples) for run in runs]))
    elif _unlike(runs, "val"):
        found.append("which images were validated")
    if _unlike(runs, "train"):
        found.append("which images were trained on")
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    others = ["fit_split", *(f"trainer.{key}" for key in TRAINER)]
    for key in keys:
        if key in others or (key.startswith(SECTIONS) and not key.startswith(APART)):
            values = [run.settings.get(key, "not recorded") for run in runs]
            if any(value != values[0] for value in values):
                found.append(_said(key, runs, values))
    return found


def warning(found: Sequence[str], most: int = 4) -> str:
    """One sentence for figures, which cannot hold any number of differences; "" for none.

    Args:
        found: of :func:`differences`.
        most: how many to write out.
    """
    if not found:
        return ""
    more = f"; and {len(found) - most} more" if len(found) > most else ""
    return f"the runs differ in {'; '.join(found[:most])}{more}"


def _said(what: str, runs: Sequence[Run], values: Sequence[Any]) -> str:
    by_value: dict[str, list[str]] = {}
    for run, value in zip(runs, values, strict=True):
        by_value.setdefault(_short(value), []).append(run.name)
    return f"{what} ({'; '.join(f'{value}: {_listed(names)}' for value, names in by_value.items())})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)


def _short(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _a_class(samples: np.ndarray) -> str:
    """How many images there are, and how many a class has."""
    present = samples[samples > 0]
    least, most = present.min(), present.max()
    return f"{samples.sum()}, {least} a class" if least == most else f"{samples.sum()}, {least} to {most} a class"


def _unshared(runs: Sequence[Run]) -> str:
    """Which classes not all runs have."""
    names = dict.fromkeys(name for run in runs for name in run.classes)
    apart = [name for name in names if not all(name in run.classes for run in runs)]
    more = f" and {len(apart) - 3} more" if len(apart) > 3 else ""
    return f"{', '.join(apart[:3])}{more} not in all" if apart else "in another order"


def _unlike(runs: Sequence[Run], split: str) -> bool:
    return len({run.listings[split] for run in runs if split in run.listings}) > 1

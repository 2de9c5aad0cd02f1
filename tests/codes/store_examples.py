"""A small recipe and the codes to go with it, for tests of the store."""

from pathlib import Path

import torch

from codes.store import Recipe, store_folder
from codes.store_writer import StoreWriter

CHANNELS = {"CL1": 2, "CL2": 3}
WIDTHS = {"CL1": 10, "CL2": 15}
ROWS = {"train": 11, "val": 4}
CLASSES = ["ant", "bee"]


def make_recipe(**changes) -> Recipe:
    return {
        "backbone": "tests.tiny:Tiny",
        "weights": "ab" * 32,
        "taps": {"CL1": "first", "CL2": "blocks.second"},
        "statistics": ["max", "mean", "std", "com"],
        "transform": {"resize": 18, "crop": 16, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3},
        "data": {"train": {"files": 11, "listing": "cd" * 32}, "val": {"files": 4, "listing": "ef" * 32}},
        "dtype": "float32",
        "precision": "32-true",
    } | changes


def make_writer(base: Path, batch: int = 4, **changes) -> StoreWriter:
    recipe = make_recipe(**changes)
    return StoreWriter(store_folder(base, recipe), recipe, WIDTHS, ROWS, batch)


def content(split: str) -> dict[str, torch.Tensor]:
    """Every row of a split, and what is in it."""
    count, generator = ROWS[split], torch.Generator().manual_seed(len(split))
    return {
        **{depth: torch.randn(count, width, generator=generator) for depth, width in WIDTHS.items()},
        "ids": torch.arange(count) * 2,
        "labels": torch.arange(count) % 2,
        "dead": torch.randint(0, 3, (count, len(WIDTHS)), generator=generator),
    }


def write(writer: StoreWriter, number: int) -> None:
    split, first, last = writer.batches[number]
    rows = {name: values[first:last] for name, values in content(split).items()}
    dead = {depth: rows["dead"][:, place] for place, depth in enumerate(WIDTHS)}
    writer.write(number, {depth: rows[depth] for depth in WIDTHS}, dead, rows["ids"], rows["labels"])


def fill(base: Path, **changes) -> Path:
    """A whole store."""
    writer = make_writer(base, **changes)
    writer.create({"torch": "1"})
    for number in writer.open():
        write(writer, number)
    writer.close()
    assert writer.finish(CLASSES, CHANNELS, {"val": {"skipped": [["val/ant/x.png", "not an image file"]]}})
    return writer.folder

"""A store: the codes of every image on disk, one (N, D) array a split and depth, readable with numpy alone.

`<base>/<backbone>-<fingerprint>/manifest.json` says what the codes are of; `<split>/` beside it holds `<depth>.npy`
(N, D), `ids.npy` and `labels.npy` (N,) int64, and `dead.npy` (N, L) int32, the channels without a center of mass.
docs/store.md describes the format. A store that is being filled has a name that ends in `.part`.

A *recipe* is what a store's codes depend on, as plain JSON: equal recipes give equal codes, and the fingerprint is the
recipe's. A store serves a recipe that differs only in having fewer depths or statistics.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from codes.catalog import Preprocessing
from codes.extractor import CodeExtractor
from codes.summaries import Statistic, statistic_slices

FORMAT = 1
MANIFEST = "manifest.json"
PART = ".part"

Recipe = dict[str, Any]
StoreType = Literal["float32", "float16"]


class CodeStore:
    """A whole store, opened for reading.

    Args:
        folder: The store's folder.

    Attributes:
        manifest: What manifest.json holds.
        recipe: What the codes are of.
        depths: Names of the depths, L of them.
        statistics: The statistics that make up the codes.
        classes: Class names, in label order.
        rows: Split to number of rows N.

    Raises:
        FileNotFoundError: If there is no whole store.
        ValueError: If it is of another format.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if self.folder.suffix == PART or not (self.folder / MANIFEST).is_file():
            raise FileNotFoundError(
                f"'{folder}' is no whole store of codes (a folder with {MANIFEST}, and no name in {PART}): fill it "
                "with `python train.py predict`"
            )
        try:
            self.manifest: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text())
        except ValueError as error:
            raise ValueError(
                f"'{self.folder / MANIFEST}' is damaged ({error}): delete the store, to fill it anew"
            ) from error
        found = self.manifest.get("format") if isinstance(self.manifest, dict) else None
        if found != FORMAT:
            raise ValueError(f"'{folder}' has format {found}, this version reads {FORMAT}")
        self.recipe: Recipe = self.manifest["recipe"]
        self.depths = tuple(self.recipe["taps"])
        self.statistics: tuple[Statistic, ...] = tuple(self.recipe["statistics"])
        self.classes: list[str] = self.manifest["classes"]
        self.rows: dict[str, int] = {split: each["rows"] for split, each in self.manifest["splits"].items()}

    @property
    def bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(path.stat().st_size for path in self.folder.glob("*/*.npy"))

    def array(self, split: str, name: str) -> np.ndarray:
        """Map a depth's codes, "ids", "labels" or "dead" of a split into memory, read-only.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If it is damaged.
        """
        path = self.folder / split / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise ValueError(f"'{path}' is damaged ({error}): delete the store, to fill it anew") from error
        if len(array) != self.rows[split]:
            raise ValueError(f"'{path}' has {len(array)} rows, its manifest says {self.rows[split]}")
        return array

    def columns(self, depth: str, statistics: Sequence[Statistic]) -> list[slice]:
        """Say where a depth's codes hold the statistics, in their order; neighbours are one slice.

        Example:
            >>> store = object.__new__(CodeStore)
            >>> store.statistics, store.manifest = ("max", "mean", "std", "com"), {"channels": {"CL1": 64}}
            >>> store.columns("CL1", ("std", "com")), store.columns("CL1", ("std", "max"))
            ([slice(128, 320, None)], [slice(128, 192, None), slice(0, 64, None)])
        """
        channels = self.manifest["channels"][depth]
        if not channels:  # raw pixels, which have no statistics
            return [slice(None)]
        held = statistic_slices(channels, self.statistics)
        merged: list[slice] = []
        for name in statistic_slices(channels, statistics):
            block = held[name]
            if merged and merged[-1].stop == block.start:
                block = slice(merged.pop().start, block.stop)
            merged.append(block)
        return merged


def make_recipe(
    extractor: CodeExtractor, preprocessing: Preprocessing, data: Mapping[str, Any], dtype: StoreType, precision: str
) -> Recipe:
    """Write down what codes depend on.

    Args:
        extractor: Gives the codes.
        preprocessing: How images are resized and cropped; they are normalised as the extractor's backbone does it.
        data: What identifies the images.
        dtype: In what the codes are kept.
        precision: In what the backbone computes, e.g. "32-true".

    Returns:
        The recipe, of plain JSON types.
    """
    backbone = extractor.backbone
    recipe = {
        "backbone": backbone.name,
        "weights": backbone.digest,
        "taps": extractor.taps,
        "statistics": extractor.statistics,
        "transform": {
            "resize": preprocessing.resize,
            "crop": preprocessing.crop,
            "interpolation": preprocessing.interpolation,
            "mean": backbone.preprocessing.mean,
            "std": backbone.preprocessing.std,
        },
        "data": dict(data),
        "dtype": dtype,
        "precision": precision,
    }
    return json.loads(json.dumps(recipe))


def store_folder(base: str | Path, recipe: Recipe) -> Path:
    """Name the folder of a recipe's store: the backbone, and 12 digits of the SHA-256 of format and recipe."""
    fingerprint = hashlib.sha256(json.dumps([FORMAT, recipe], sort_keys=True).encode()).hexdigest()[:12]
    return Path(base) / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', recipe['backbone'])}-{fingerprint}"


def find_store(base: str | Path, recipe: Recipe) -> CodeStore | None:
    """Find a whole store that serves a recipe: its own, or one with more depths or statistics."""
    own = store_folder(base, recipe)
    if (own / MANIFEST).is_file():
        return CodeStore(own)
    return next((store for store in _stores(base) if serves(store.recipe, recipe)), None)


def serves(stored: Recipe, wanted: Recipe) -> bool:
    """Whether codes of the recipe ``stored`` hold those of the recipe ``wanted``."""
    return (
        wanted["taps"].items() <= stored["taps"].items()
        and set(wanted["statistics"]) <= set(stored["statistics"])
        and stored | {key: wanted[key] for key in ("taps", "statistics")} == wanted
    )


def explain_absence(base: str | Path, recipe: Recipe) -> str:
    """Say why no store serves a recipe: in what the nearest one differs, or that there is none."""
    nearest = min(_stores(base), key=lambda store: len(differences(store.recipe, recipe)), default=None)
    if nearest is None:
        return f"'{base}' holds no store"
    listed = explain_differences(nearest.recipe, recipe)
    return f"no store in '{base}' fits. The nearest, {nearest.folder.name}, differs: {listed}"


def explain_differences(stored: Recipe, wanted: Recipe) -> str:
    """Say where two recipes differ, key by key."""
    found = differences(stored, wanted)
    return "; ".join(f"{key} is {_short(there)} there, {_short(here)} here" for key, there, here in found)


def differences(stored: Recipe, wanted: Recipe) -> list[tuple[str, Any, Any]]:
    """List where two recipes differ: dotted key, value stored, value wanted; None where one has no such key.

    Example:
        >>> differences({"dtype": "float32", "taps": {"CL1": "a"}}, {"dtype": "float16", "taps": {"CL1": "a"}})
        [('dtype', 'float32', 'float16')]
    """
    there, here = dict(_flat(stored)), dict(_flat(wanted))
    keys = dict.fromkeys([*there, *here])
    return [(key, there.get(key), here.get(key)) for key in keys if there.get(key) != here.get(key)]


def _stores(base: str | Path) -> Iterator[CodeStore]:
    for path in sorted(Path(base).glob(f"*/{MANIFEST}")):
        try:
            yield CodeStore(path.parent)
        except (OSError, ValueError, LookupError, TypeError):  # being filled, of another format, or no manifest of ours
            continue


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield prefix + key, inner


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else text[:12] + "..."

"""Runs as they lie on disk, written without a trainer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

RunMaker = Callable[..., Path]
CLASSES = ("ant", "bee", "cat")
DEPTHS = ("CL2", "CL1")  # from the input to the output: not in the order of the alphabet
CURVE = {
    "step": [1, 2, 3],
    "sigma": [3.0, 2.0, 1.0],
    "energy": [9.0, 4.0, 1.0],
    "relative_energy": [1.0, 0.5, 0.2],
}


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    """Write a run to <tmp_path>/runs/<name>."""

    def make(
        name: str = "a",
        depths: tuple[str, ...] = DEPTHS,
        classes: tuple[str, ...] = CLASSES,
        images: int = 4,
        sides: tuple[int, int] = (3, 4),
        losses: bool = True,
        measures: dict[str, Any] | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        rng = np.random.default_rng(seed)
        label = np.repeat(np.arange(len(classes)), images)
        pq.write_table(listed(label, classes), folder / "images.parquet")
        tables = [located(label, depth, sides, rng) for depth in sorted(depths)]
        pq.write_table(pa.concat_tables(tables), folder / "bmus.parquet")
        found = measured(depths, seed) if measures is None else measures
        (folder / "measures.json").write_text(json.dumps(found))
        config: dict[str, Any] = {
            "model": {"backbone": "resnet18", "weights": "default", "topology": "torus"},
            "data": {"root": "images", "num_workers": 2, "per_class": None},
            "trainer": {"max_epochs": 3, "accelerator": "auto"},
            "seed_everything": seed,
        }
        config["model"] |= {"rows": sides[0], "cols": sides[1]}
        for key, value in settings.items():
            section, _, inner = key.partition("__")
            config[section][inner] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        if losses:
            rows = [pa.table(CURVE | {"depth": [depth] * 3}) for depth in depths]
            pq.write_table(pa.concat_tables(rows), folder / "losses.parquet")
        return folder

    return make


def listed(label: np.ndarray, classes: tuple[str, ...]) -> pa.Table:
    """What images.parquet holds."""
    count = len(label)
    return pa.table(
        {
            "split": ["val"] * count,
            "id": np.arange(count),
            "label": label,
            "class": [classes[k] for k in label],
            "path": [f"val/{classes[k]}/{n}.png" for n, k in enumerate(label)],
            "view": pa.nulls(count, pa.int32()),
        }
    )


def located(label: np.ndarray, depth: str, sides: tuple[int, int], rng: np.random.Generator) -> pa.Table:
    """What bmus.parquet holds of a depth."""
    count = len(label)
    return pa.table(
        {
            "id": np.arange(count),
            "label": label,
            "split": ["val"] * count,
            "depth": [depth] * count,
            "row": rng.integers(0, sides[0], count).astype(np.int32),
            "col": rng.integers(0, sides[1], count).astype(np.int32),
            "distance": rng.random(count).astype(np.float32),
        }
    )


def measured(depths: tuple[str, ...], seed: int) -> dict[str, Any]:
    """What measures.json holds."""
    maps = {
        "collision_lift": {depth: 2.0**number + seed for number, depth in enumerate(depths)},
        "collision_lift_low": dict.fromkeys(depths, 0.5),
        "collision_lift_high": dict.fromkeys(depths, 9.0),
        "collision_lift_null_mean": dict.fromkeys(depths, 1.0),
        "collision_lift_p_value": dict.fromkeys(depths, 0.02),
        "mean_dead": dict.fromkeys(depths),
        **{f"cka_{depth}": dict.fromkeys(depths, 0.5) for depth in depths},
    }
    attacks = {"pgd": {"4/255": {"displacement": dict.fromkeys(depths, 1.5)}}}
    return {"validate": maps, "test": {"reference": "labels", "images": 20, "attacks": attacks}}

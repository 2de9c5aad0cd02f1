"""Fixtures shared by all rooms: small image trees, and runs that need no weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TreeMaker = Callable[..., Path]
LONGEST = "test_docs_commands.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files of slow tests: the longest, begun last, would keep one process busy and the others idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.name != LONGEST))


def write_tree(
    root: Path,
    splits: dict[str, int],
    classes: tuple[str, ...] = ("ant", "bee", "cat"),
    size: tuple[int, int] = (40, 32),
) -> Path:
    """Write <root>/<split>/<class>/<number>.png with random pixels of one hue a class."""
    rng = np.random.default_rng(0)
    for split, count in splits.items():
        for k, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = rng.integers(0, 120, (size[1], size[0], 3), np.uint8)
                pixels[..., k % 3] += 120
                Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return root


@pytest.fixture
def make_tree(tmp_path: Path) -> TreeMaker:
    """Write an image tree under the test's own folder; see `write_tree` for the arguments."""

    def make(splits: dict[str, int], classes: tuple[str, ...] = ("ant", "bee", "cat"), size=(40, 32)) -> Path:
        return write_tree(tmp_path / "images", splits, classes, size)

    return make

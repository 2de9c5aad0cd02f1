"""Images a second of the data module alone, beside plain Pillow doing the same resize and crop.

    python -m benchmarks.bench_data [--root DIR] [--images 400] [--repeats 5]

Without --root, JPEGs of 500 x 375 pixels are made from the embedded photographs. The contenders take turns; the table
holds medians. Every image is read from the page cache: no disk is measured.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from datamodules import ImageData
from datamodules.sources.embedded import list_photographs

BATCH = 64
SIZE = (500, 375)
WORKERS = (0, 1, 2)


class PlainPillow(Dataset):
    """What torchvision's ImageFolder with its usual transforms does: Pillow decodes, resizes and crops."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.transform = v2.Compose(
            [
                v2.Resize(256, v2.InterpolationMode.BICUBIC),
                v2.CenterCrop(224),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> torch.Tensor:
        with Image.open(self.paths[position]) as image:
            return self.transform(image.convert("RGB"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="a folder with val/<class>/<image>")
    parser.add_argument("--images", type=int, default=400, help="at most so many of them")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        root = Path(given.root) if given.root else make_images(Path(made), given.images)
        contenders, count = prepare(root, given.images)
        seconds: dict[tuple[str, int], list[float]] = {key: [] for key in contenders}
        for repeat in range(given.repeats + 1):
            for key, run in contenders.items():
                start = time.perf_counter()
                run()
                if repeat:  # the first warms the page cache, and the workers that stay
                    seconds[key].append(time.perf_counter() - start)
    rates = {key: count / statistics.median(times) for key, times in seconds.items()}
    print(
        f"images/s of {count} images, batches of {BATCH}, median of {given.repeats} runs in turn, "
        f"torch {torch.__version__}"
    )
    print("| workers | plain Pillow | the data module | times faster |\n|---|---|---|---|")
    for workers in WORKERS:
        plain, ours = rates["plain", workers], rates["ours", workers]
        print(f"| {workers} | {plain:.0f} | {ours:.0f} | {ours / plain:.1f} |")


def prepare(root: Path, most: int) -> tuple[dict[tuple[str, int], Callable[[], None]], int]:
    """The contenders by name and number of workers, and how many images each reads."""
    contenders: dict[tuple[str, int], Callable[[], None]] = {}
    for workers in WORKERS:
        data = ImageData(str(root), batch_size=BATCH, num_workers=workers, attack_images=most)
        data.setup("test")
        ours = data.test_dataloader()
        paths = [root / name for name in ours.dataset.samples.printable_names()]  # type: ignore[attr-defined]
        plain = DataLoader(PlainPillow(paths), BATCH, num_workers=workers, persistent_workers=workers > 0)
        contenders["plain", workers] = partial(consume, plain)
        contenders["ours", workers] = partial(consume, ours)
    return contenders, len(paths)


def consume(loader: DataLoader) -> None:
    for _ in loader:
        pass


def make_images(root: Path, count: int) -> Path:
    """Photographs of ImageNet's commonest size, as JPEGs of usual quality."""
    photographs = list_photographs().splits["val"]
    folder = root / "val" / "photographs"
    folder.mkdir(parents=True)
    for number in range(count):
        image = Image.open(photographs.encoded(number % len(photographs)))  # type: ignore[arg-type]
        image.convert("RGB").resize(SIZE).save(folder / f"{number:04d}.jpg", quality=90)
    return root


if __name__ == "__main__":
    main()

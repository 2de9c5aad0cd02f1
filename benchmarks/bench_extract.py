"""Times codes against the backbone's bare forward, and the `predict` stage against what it cannot do without.

python -m benchmarks.bench_extract [--backbones resnet18 ...] [--runs 21] [--batch 16] [--device cuda]

First table: milliseconds an image of the backbone alone and of the backbone with the codes of all its depths, on the
same batches, channels last in both, random weights, inference mode. The two take turns; `over` is the median of the
runs' ratios. Second table: images a second of decoding alone, of the forward alone, and of the whole `predict` stage
behind its check of the files, on JPEGs of the given size made of the embedded photographs; `share` is of the slower of
the two, `sum` of both in turn, which is all that can be had where decoding takes the forward's own cores. Each row is a
process of its own.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from callbacks import CodeWriter
from codes import CATALOG, CodeExtractor, load_backbone
from datamodules import ImageData, PassData
from datamodules.decoding import read_pixels
from datamodules.sources.embedded import list_photographs
from lightning_modules import CodeSOM
from lightning_modules.process import keep_freed_memory

STAGES = ("efficientnet_lite0", "resnet50")


def seconds(work: Callable[[Tensor], object], images: Tensor) -> float:
    start = time.perf_counter()
    work(images)
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - start


def extraction(name: str, runs: int, batch: int, device: str) -> tuple[float, float, float]:
    """Seconds an image of the forward and of the codes, and the median ratio of the two."""
    keep_freed_memory()
    backbone = load_backbone(name, weights="none").to(device)
    extractor = CodeExtractor(backbone)
    images = torch.rand(batch, 3, 224, 224, device=device).contiguous(memory_format=torch.channels_last)
    alone: list[float] = []
    coded: list[float] = []
    with torch.inference_mode():
        seconds(backbone, images), seconds(extractor, images)
        for run in range(runs):
            order = (backbone, alone), (extractor, coded)
            for work, times in order if run % 2 else reversed(order):
                times.append(seconds(work, images))
    over = statistics.median(b / a for a, b in zip(alone, coded, strict=True))
    return statistics.median(alone) / batch, statistics.median(coded) / batch, over


def photographs(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """A tree of one class: JPEGs of the embedded photographs at the given size, and a single one to validate."""
    photographs = list_photographs().splits["train"]
    for split, number in (("train", count), ("val", 1)):
        (folder / split / "photographs").mkdir(parents=True)
        for place in range(number):
            pixels = read_pixels(photographs.encoded(place % len(photographs)))
            image = to_pil_image(pixels).resize(size, Image.Resampling.BICUBIC)
            image.save(folder / split / "photographs" / f"{place:05d}.jpg", quality=90)
    return folder


class Clock(pl.Callback):
    """Seconds from the start of the loop to its end, the writing included."""

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start, before the first image is decoded."""
        self.start = time.perf_counter()

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop, behind CodeWriter."""
        self.seconds = time.perf_counter() - self.start


def stage(name: str, root: Path, base: Path, workers: int, device: str) -> tuple[float, float, float]:
    """Images a second of decoding alone, of the forward alone, and of the predict stage."""
    keep_freed_memory()
    module = CodeSOM(name, weights="none", rows=2, cols=2)
    images = ImageData(str(root), num_workers=workers)
    images.adopt(module.extractor.backbone.preprocessing)
    clock = Clock()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator=device, devices=1, callbacks=[CodeWriter(), clock], **quiet)  # type: ignore[arg-type]
    data = PassData(images, module.extractor, base, "float32", "32-true")
    trainer.predict(module, datamodule=data, return_predictions=False)
    start = time.perf_counter()
    count = sum(len(batch["id"]) for loader in data.predict_dataloader() for batch in loader)
    decoding = time.perf_counter() - start
    module.to(device)
    batch = torch.rand(64, 3, 224, 224, device=device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        seconds(module.extractor.backbone, batch)
        forward = statistics.median(seconds(module.extractor.backbone, batch) for _ in range(max(3, count // 64))) / 64
    return count / decoding, 1 / forward, count / clock.seconds


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="*", default=list(CATALOG), choices=list(CATALOG))
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=list(CATALOG), help="of the second table")
    parser.add_argument("--runs", type=int, default=21, help="of each, in turns")
    parser.add_argument("--batch", type=int, default=16, help="images a forward")
    parser.add_argument("--images", type=int, default=1024, help="images of the predict stage")
    parser.add_argument("--size", type=int, nargs=2, default=(500, 375), help="width and height of those, in pixels")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that decode")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of the backbone")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    device = arguments.device
    if device == "cuda":
        print(torch.cuda.get_device_name())
    # Not forked: a forward would pay for every page that it shares with its parent or with a worker.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        print(f"\n{'ms an image':22}{'forward':>9}{'codes':>9}{'over':>9}")
        for name in arguments.backbones:
            alone, coded, over = pool.submit(extraction, name, arguments.runs, arguments.batch, device).result()
            print(f"{name:22}{alone * 1e3:9.3f}{coded * 1e3:9.3f}{over - 1:9.1%}", flush=True)
        print(f"\n{'images a second':22}{'decoding':>9}{'forward':>9}{'predict':>9}{'share':>9}{'sum':>9}")
        with tempfile.TemporaryDirectory() as folder:
            root = photographs(Path(folder) / "images", arguments.images, tuple(arguments.size))
            for name in arguments.stages:
                made = pool.submit(stage, name, root, Path(folder) / "codes", arguments.workers, device)
                decoding, forward, whole = made.result()
                shares = whole / min(decoding, forward), whole * (1 / decoding + 1 / forward)
                print(f"{name:22}{decoding:9.1f}{forward:9.1f}{whole:9.1f}{shares[0]:9.1%}{shares[1]:9.1%}", flush=True)


if __name__ == "__main__":
    main()

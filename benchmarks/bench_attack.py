"""Times the attack stage against the bare Foolbox attack on the same batches plus one pass of the codes.

python -m benchmarks.bench_attack [--attacks pgd ...] [--runs 5] [--batch 10] [--device cuda]

The images are the embedded photographs that the backbone gets right, channels last in both. Bare: `attack(model,
images, labels, epsilons=...)` as Foolbox is used, then codes and logits of what it found. Stage: what happens to a
batch from its start to its end: codes of the clean images, the attack, two controls, the codes of all, their BMUs, and
the rows of the ledger on the disk. The two take turns; `over` is the median of the runs' ratios. `once` is what a stage
does besides, whatever the number of attacks: clean images passed before, summary, figures.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from callbacks import FoolboxEvaluation
from callbacks.attack.foolbox_library import foolbox
from callbacks.attack.specs import AttackSpec
from datamodules import ImageData
from lightning_modules import CodeSOM
from lightning_modules.process import keep_freed_memory, silence_dependencies

BUDGET = 1.0  # 1/255


class Clock(pl.Callback):
    """Seconds of batches, behind all other callbacks, and of the whole stage."""

    def on_test_batch_start(self, *_: object, **__: object) -> None:
        """Start."""
        self.start = time.perf_counter()

    def on_test_batch_end(self, *_: object, **__: object) -> None:
        """Stop."""
        self.batches += time.perf_counter() - self.start

    def run(self, trainer: pl.Trainer, module: CodeSOM, data: ImageData) -> tuple[float, float]:
        """Seconds of the batches of a stage, and of all else in it."""
        self.batches = 0.0
        start = time.perf_counter()
        trainer.test(module, datamodule=data, verbose=False)
        return self.batches, time.perf_counter() - start - self.batches


def bare(module: CodeSOM, batches: Sequence[tuple[Tensor, Tensor]], spec: AttackSpec) -> float:
    """Seconds of the attack alone, and one pass of the codes of what it found."""
    device = batches[0][0].device
    module.to(device)  # a stage ends on the CPU
    start = time.perf_counter()
    model = foolbox.PyTorchModel(module.extractor.backbone, bounds=(0, 1), device=device)
    epsilon = spec.pixels(spec.epsilons[0]) if spec.kind == "bounded" else None
    for images, labels in batches:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, found, _ = spec.attack(**spec.arguments)(model, images, labels, epsilons=epsilon)
        with torch.no_grad():
            module.extractor(found)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def right_ones(module: CodeSOM, data: ImageData, device: str) -> list[tuple[Tensor, Tensor]]:
    """By batch, the images that are right when clean, channels last on the device, and their classes."""
    assert data.label_map is not None
    module.cpu()
    classes, found = torch.tensor(data.label_map.indices), []
    for batch in data.test_dataloader():
        labels = classes[batch["label"]]
        with torch.no_grad():
            right = module.extractor.backbone(batch["image"]).argmax(1) == labels
        images = batch["image"][right].contiguous(memory_format=torch.channels_last)
        found.append((images.to(device), labels[right].to(device)))
    return found


def compare(module: CodeSOM, name: str, options: argparse.Namespace, folder: Path) -> tuple[float, float, float, float]:
    """Median seconds of the bare attack, of the stage's batches and of the rest of it, and the median ratio."""
    evaluation = FoolboxEvaluation([name], [BUDGET], options.steps)
    spec, clock = evaluation.specs[0], Clock()
    data = ImageData(batch_size=options.batch, num_workers=0)
    data.adopt(module.extractor.backbone.preprocessing)
    data.setup("test")
    batches = right_ones(module, data, options.device)
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    alone: list[float] = []
    staged: list[float] = []
    rest: list[float] = []
    for run in range(options.runs + 1):
        trainer = pl.Trainer(
            accelerator=options.device,
            devices=1,
            logger=TensorBoardLogger(folder, name=name, version=run),
            callbacks=[evaluation, clock],
            **quiet,  # type: ignore[arg-type]
        )
        first = bare(module, batches, spec) if run % 2 else None
        seconds, other = clock.run(trainer, module, data)
        alone.append(bare(module, batches, spec) if first is None else first)
        staged.append(seconds)
        rest.append(other)
    alone, staged, rest = alone[1:], staged[1:], rest[1:]  # the first warms up
    over = statistics.median(b / a for a, b in zip(alone, staged, strict=True))
    return statistics.median(alone), statistics.median(staged), statistics.median(rest), over


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", nargs="*", default=["fgsm", "pgd", "deepfool"])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--runs", type=int, default=5, help="of each, in turns, after one to warm up")
    parser.add_argument("--batch", type=int, default=10, help="images in a batch, of 20")
    parser.add_argument("--steps", type=int, default=10, help="of attacks that iterate")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    silence_dependencies()
    keep_freed_memory()
    module = CodeSOM(options.backbone, rows=12, cols=16)
    for depth, codes in module.extractor(torch.rand(24, 3, 224, 224)).codes.items():
        som = module.maps[depth]
        assert som.standardiser is not None
        som.standardiser.update(codes.detach())
        som.initialise(codes.detach())
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    if options.device == "cuda":
        print(torch.cuda.get_device_name())
    print(f"{'seconds':14}{'bare':>8}{'stage':>8}{'over':>8}{'once':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.attacks:
            alone, staged, rest, over = compare(module, name, options, Path(folder))
            print(f"{name:14}{alone:8.2f}{staged:8.2f}{over - 1:8.1%}{rest:8.2f}", flush=True)


if __name__ == "__main__":
    main()

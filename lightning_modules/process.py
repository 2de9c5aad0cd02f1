"""What the process of a command is told before anything runs: whose warnings to leave out, and to keep freed memory."""

import ctypes
import logging
import platform
import warnings

__all__ = ["be_quiet", "keep_freed_memory", "silence_dependencies"]

LIGHTNING = ("lightning_fabric", "pytorch_lightning")


def be_quiet() -> None:
    """Leave out what is said by Lightning, or through it by us, but for warnings."""
    for library in LIGHTNING:
        logging.getLogger(library).setLevel(logging.WARNING)


def silence_dependencies() -> None:
    """Leave out warnings of dependencies that a user can do nothing about."""
    # Lightning 2.6 uses a class that torch deprecates.
    warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning)
    # train.py hands its arguments on with the subcommand that they lack.
    warnings.filterwarnings("ignore", "LightningCLI's args parameter is intended to run")
    # Advertisements, and advice to multiply with less precision than maps need.
    for library in LIGHTNING:
        logging.getLogger(f"{library}.utilities.rank_zero").addFilter(_is_no_advice)
    # The backbone is meant to stay in eval mode.
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode at the start of training")
    # A stage writes to its own run's folder, not beside the checkpoint that it reads.
    warnings.filterwarnings("ignore", "The dirpath has changed from")
    # Lightning 2.6 gathers over processes by a function that torch deprecates.
    warnings.filterwarnings("ignore", "torch.distributed.nn.functional.all_gather is deprecated", FutureWarning)
    # Without a gradient there is no state before the step that one might want.
    warnings.filterwarnings("ignore", "Using ModelCheckpoint with manual optimization and every_n_train_steps")
    # A process without images, or a run in which nothing was attacked: the numbers say so themselves.
    warnings.filterwarnings("ignore", "The ``compute`` method of metric .* was called before the ``update`` method")
    # Advice on data loaders: a pass that fills a store needs its workers once, codes of a store hardly any, and what
    # data.num_workers decode is told by --plan.
    warnings.filterwarnings("ignore", "Consider setting `persistent_workers=True` in")
    warnings.filterwarnings("ignore", "The '.*_dataloader' does not have many workers")
    # Of few images there are few steps; figures/losses has every one of them.
    warnings.filterwarnings("ignore", r"The number of training batches \(\d+\) is smaller than the logging interval")
    # Who says `--trainer.accelerator cpu`, or lays configs/debug/cpu.yaml over another config, means it.
    warnings.filterwarnings("ignore", "GPU available but not used")


def keep_freed_memory() -> None:
    """Have glibc keep the large buffers that each layer frees, instead of paying for their pages again at every layer.

    On 2 CPU cores this made the embedded backbone 1.4 times faster; other C libraries are left alone.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
            libc.mallopt(option, 2**30)


def _is_no_advice(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return "Tip: For seamless" not in text and "set_float32_matmul_precision" not in text

import logging
import platform
import subprocess
import sys
import warnings

import pytest
from pytorch_lightning import Trainer

from lightning_modules.process import be_quiet, silence_dependencies


def test_lightning_advertises_nothing(caplog):
    silence_dependencies()
    with caplog.at_level("INFO", logger="pytorch_lightning.utilities.rank_zero"):
        Trainer(accelerator="cpu", logger=False)
    assert "GPU available" in caplog.text
    assert "Tip" not in caplog.text


def test_quiet_leaves_warnings_alone(monkeypatch):
    loggers = [logging.getLogger(name) for name in ("lightning_fabric.x", "pytorch_lightning.x")]
    for logger in loggers:
        monkeypatch.setattr(logger.parent, "level", logger.parent.level)
    be_quiet()
    levels = [logger.getEffectiveLevel() for logger in loggers]
    for logger in loggers:
        logger.parent.setLevel(logging.INFO)  # and what is cached of it is forgotten
    assert levels == [logging.WARNING] * 2


def test_only_what_a_user_can_do_nothing_about_is_left_out():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        silence_dependencies()
        warnings.warn("Found 7 module(s) in eval mode at the start of training", UserWarning, stacklevel=1)
        for advice in (
            "Consider setting `persistent_workers=True` in 'predict_dataloader' to speed up the dataloader worker",
            "The 'train_dataloader' does not have many workers which may be a bottleneck.",
            "The number of training batches (2) is smaller than the logging interval Trainer(log_every_n_steps=10).",
            "GPU available but not used. You can set it by doing `Trainer(accelerator='gpu')`.",
        ):
            warnings.warn(advice, UserWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["something else"]


@pytest.mark.parametrize("library", ["lightning_fabric", "pytorch_lightning"])
def test_advice_to_lose_precision_is_left_out(caplog, library):
    silence_dependencies()
    logger = logging.getLogger(f"{library}.utilities.rank_zero")
    with caplog.at_level("INFO", logger=logger.name):
        logger.info("You should set `torch.set_float32_matmul_precision('medium' | 'high')`")
        logger.info("GPU available: True")
    assert caplog.messages == ["GPU available: True"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_freed_memory_stays_in_the_process():
    code = """
import numpy as np, resource
from lightning_modules.process import keep_freed_memory
keep_freed_memory()
def faults():
    for _ in range(20):
        np.ones(100_000_000, np.uint8)  # more than malloc would keep by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = faults()
print(faults() - first)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 1000, "20 arrays of 24,000 pages: they are not fetched anew"

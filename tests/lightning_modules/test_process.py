import logging
import platform
import subprocess
import sys
import warnings

import pytest
from pytorch_lightning import Trainer

from lightning_modules.process import silence_dependencies


def test_lightning_advertises_nothing(caplog):
    silence_dependencies()
    with caplog.at_level("INFO", logger="pytorch_lightning.utilities.rank_zero"):
        Trainer(accelerator="cpu", logger=False)
    assert "GPU available" in caplog.text
    assert "Tip" not in caplog.text


def test_only_what_a_user_can_do_nothing_about_is_left_out():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        silence_dependencies()
        warnings.warn("Found 7 module(s) in eval mode at the start of training", UserWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["something else"]
    assert logging.getLogger("pytorch_lightning.utilities.rank_zero").filters


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_freed_memory_stays_in_the_process():
    code = """
import numpy as np, resource
from lightning_modules.process import keep_freed_memory
keep_freed_memory()
def faults():
    for _ in range(20):
        np.ones(4_000_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = faults()
print(faults() - first)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 1000, "20 arrays of 1,000 pages: they are not fetched anew"

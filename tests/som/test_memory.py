import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
MEGABYTE = 2**20
PROGRAM = """
import resource, sys
import numpy as np
from som import SOM

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path, rows, cols, epochs, init = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
before = peak()
SOM(rows, cols, epochs=epochs, init=init, random_state=0).fit(np.load(path, mmap_mode="r"))
print(peak() - before)
"""


def peak(folder, samples, dimensions, rows, cols, epochs, init):
    """Bytes of memory that constructing and fitting a map takes, beyond what importing it takes."""
    path = folder / "codes.npy"
    codes = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(samples, dimensions))
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((10, dimensions), dtype=np.float32)
    for first in range(0, samples, 5000):
        part = codes[first : first + 5000]
        part[:] = rng.standard_normal((len(part), 10), dtype=np.float32) @ basis
        part += rng.standard_normal(part.shape, dtype=np.float32)
    codes.flush()
    words = [sys.executable, "-c", PROGRAM, *map(str, (path, rows, cols, epochs, init))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=3600)
    path.unlink()
    return int(result.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("init", ["pca", "sample"])
def test_a_fit_of_mapped_codes_takes_three_copies_of_the_prototypes(tmp_path, init):
    copy = 100 * 100 * 512 * 4
    assert peak(tmp_path, 20_000, 512, 100, 100, 2, init) < 3 * copy + 200 * MEGABYTE

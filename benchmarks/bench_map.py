"""Times the map against its peers and against the matrix products that a dense search cannot do without.

python -m benchmarks.bench_map [--rows fastersom-2560 ...] [--runs 5] [--root DIR] [--device cuda]

Every run is a process of its own; the contenders of a row take turns, so that a slow minute of the machine hits all of
them. Printed are medians: seconds of the fit, the ratio to the row's rival, the quantisation and topographic error on
the fitted codes, and the growth of the process's own memory during the fit (not of a GPU's).
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks import contenders
from benchmarks.codes import widened_codes
from som import Lattice, find_bmus


@dataclass(frozen=True)
class Row:
    """One line of the benchmark: the first contender is the rival that the others are compared with."""

    samples: int
    dimensions: int
    side: int
    epochs: int
    contenders: dict[str, tuple[str, dict[str, str]]]


Contenders = dict[str, tuple[str, dict[str, str]]]
TORUS: Contenders = {"somscope, torus": ("somscope_batch", {"topology": "torus"})}
OURS: Contenders = {"somscope, plane": ("somscope_batch", {"topology": "plane"})} | TORUS
DENSE: Contenders = {"somscope, torus, dense": ("somscope_batch", {"topology": "torus", "search": "dense"})}
FASTERSOM: Contenders = {"fastersom 0.5": ("fastersom", {})}
PRODUCTS: Contenders = {"torch.mm of the scores": ("products_alone", {})}
QUICKSOM: Contenders = {
    "quicksom 1.0": ("quicksom", {}),
    "somscope, quicksom preset": ("somscope_quicksom", {}),
    "somscope, batch rule": TORUS["somscope, torus"],
}
TORCHSOM: Contenders = {"torchsom 1.3": ("torchsom", {}), "somscope, gradient": ("somscope_gradient", {})}
ROWS = {
    "fastersom-2560": Row(20_000, 2_560, 40, 10, FASTERSOM | PRODUCTS | OURS | DENSE),
    "fastersom-320": Row(20_000, 320, 40, 10, FASTERSOM | OURS | DENSE),
    "quicksom": Row(5_000, 2_560, 40, 1, QUICKSOM),
    "torchsom": Row(20_000, 2_560, 40, 1, TORCHSOM),
    "xpysom": Row(20_000, 320, 40, 10, {"xpysom 1.0.7": ("xpysom", {})} | OURS),
    "minisom": Row(2_000, 320, 40, 1, {"minisom 2.3": ("minisom", {})} | OURS),
    "units-40": Row(4_000, 2_560, 40, 10, TORUS),
    "units-100": Row(4_000, 2_560, 100, 10, TORUS),
    "units-200": Row(4_000, 2_560, 200, 10, TORUS),
}


def peak_memory(*, reset: bool = False) -> float:
    """Largest resident memory of this process in MB, since the last reset; of Linux."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024  # type: ignore[union-attr]


def run(row: Row, name: str, codes_file: str, device: str = "cpu") -> dict[str, float]:
    """One run of one contender, in this process."""
    codes = torch.from_numpy(np.load(codes_file)).to(device)
    work, settings = row.contenders[name]
    torch.mm(codes[:2000], codes[:1000].T)  # wakes up the threads, or the GPU
    if device != "cpu":  # whose kernels load when they are first called
        getattr(contenders, work)(codes, row.side, 2, **settings)
    before = peak_memory(reset=True)
    seconds, prototypes, topology = getattr(contenders, work)(codes, row.side, row.epochs, **settings)
    memory = peak_memory() - before
    winners = find_bmus(codes, prototypes)
    lattice = Lattice(row.side, row.side, topology)
    te = 1 - lattice.are_neighbours(winners.bmu, winners.second).float().mean()
    return {"seconds": seconds, "qe": float(winners.distance.mean()), "te": float(te), "mb": memory}


def measure(label: str, runs: int, root: str | None, device: str) -> None:
    """Time every contender of a row in turn, and print the medians."""
    row = ROWS[label]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in row.contenders}
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "codes.npy")
        np.save(file, widened_codes(row.samples, row.dimensions, root).numpy())
        turns = [name for _ in range(runs) for name in row.contenders]
        for name in tqdm(turns, desc=label, leave=False):
            command = [sys.executable, "-m", "benchmarks.bench_map", "--device", device, "--one", label, name, file]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"{label}: {name} failed\n{done.stderr[-2000:]}", file=sys.stderr)
                continue
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    medians = {
        name: {key: statistics.median(one[key] for one in ones) for key in ones[0]}
        for name, ones in found.items()
        if ones
    }
    size = f"{row.samples:,} x {row.dimensions:,}, {row.side} x {row.side}, {row.epochs} epochs, median of {runs}"
    print(f"\n{label}: {size}\n{'':34}{'s':>9}{'ratio':>9}{'QE':>9}{'TE':>9}{'MB':>9}")
    rival = next(iter(medians.values()))["seconds"]
    for name, one in medians.items():
        ratio = rival / one["seconds"]
        print(f"{name:34}{one['seconds']:9.3g}{ratio:9.3g}{one['qe']:9.4g}{one['te']:9.3g}{one['mb']:9.0f}", flush=True)


def main() -> None:
    """Run the rows that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each contender")
    parser.add_argument("--root", help="take the codes of DIR/train/<class>/ images, not of the embedded photographs")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of the rows fastersom-*")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        label, name, file = arguments.one
        print(json.dumps(run(ROWS[label], name, file, arguments.device)))
        return
    if arguments.device == "cuda" and not all(row.startswith("fastersom") for row in arguments.rows):
        parser.error("--device cuda is for the rows fastersom-2560 and fastersom-320: name them by --rows")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    if arguments.device == "cuda":
        print(torch.cuda.get_device_name())
    for label in arguments.rows:
        measure(label, arguments.runs, arguments.root, arguments.device)


if __name__ == "__main__":
    main()

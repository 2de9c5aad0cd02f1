"""Fits the same maps on 1, 2 and 3 gloo processes: `python -m tests.som.processes FOLDER` writes <world>-<rank>.pt.

As a program, so that it imports once and forks before torch has started a thread.
"""

import multiprocessing
import sys

import torch
from torch import distributed
from torch.utils.data import DataLoader

from som import SOM
from tests.som.test_batch_fit import blobs

WORLDS = (1, 2, 3)
SAMPLES = 101  # so that the last batch of 25, of one code, leaves nothing for some processes
SMALL = {"sigma": (1.6, 0.4), "epochs": 2, "batch_size": 25, "random_state": 0}
RULES = {
    "batch": {"rule": "batch"},
    "pruned": {"rule": "batch", "search": "pruned"},
    "standardised": {"rule": "batch", "standardise": True},
    "cosine": {"rule": "batch", "distance": "cosine"},
    "gradient": {"rule": "gradient", "alpha": (0.7, 0.2)},
    "ema": {"rule": "ema", "alpha": (0.5, 0.2)},
}
SUMS = {"fixed": {"deterministic": True}, "float": {"deterministic": False}}
WINNERS = {"heskes": {"rule": "gradient", "winner": "heskes"}, "soft": {"rule": "gradient", "winner": "soft"}}


def maps(rank: int, world: int, folder: str) -> dict[str, dict[str, torch.Tensor]]:
    """The state of the map that each case ends with."""
    codes, found = blobs(SAMPLES), {}
    for sums, more in SUMS.items():
        for rule, options in RULES.items():
            found[f"{sums}, {rule}"] = SOM(3, 5, **(SMALL | options | more)).fit(codes).map_.state_dict()
    for winner, options in WINNERS.items():
        found[winner] = SOM(3, 5, **(SMALL | options | {"alpha": (0.5, 0.2)})).fit(codes / 8).map_.state_dict()
    # Each process its own share, and as much: two batches of 16 or 8 a process.
    share = DataLoader(blobs(96)[rank::world], batch_size=48 // world)
    for rule, options in RULES.items():
        if rule != "standardised":
            start = {} if world == 1 else {"init": "random", "random_state": None}  # every process draws its own seed
            found[f"loader, {rule}"] = SOM(3, 5, **(SMALL | options | start)).fit(share).map_.state_dict()
    torch.manual_seed(rank)
    found["no seed"] = SOM(3, 5, **(SMALL | RULES["ema"] | {"random_state": None})).fit(codes).map_.state_dict()
    found["checkpoint"] = SOM(3, 5, checkpoint=f"{folder}/fit-{world}", **SMALL).fit(codes).map_.state_dict()
    return found


def run(rank: int, world: int, folder: str) -> None:
    if world > 1:
        store = f"file://{folder}/store-{world}"
        distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    torch.save(maps(rank, world, folder), f"{folder}/{world}-{rank}.pt")
    if world > 1:
        distributed.destroy_process_group()


def main(folder: str) -> int:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=run, args=(rank, world, folder)) for world in WORLDS for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
        process.join()
    return any(process.exitcode for process in processes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

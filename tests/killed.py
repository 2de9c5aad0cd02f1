"""Runs `train.main`, kills it at seeded random batches, runs it again to its end, and says how often it was hit.

As a program, `python -m tests.killed FOLDER KILLS WORD ...`: it imports once, then forks. In FOLDER, run 0 is left
alone; run k of 1..KILLS is killed once and then repeated. `{run}` in a word stands for the run's number.
"""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable

from tests.killed_runs import reach

BATCHES = 24  # of a pass that is left alone
FORK = multiprocessing.get_context("fork")


def start(run: Callable[[list[str]], object], words: list[str]) -> multiprocessing.Process:
    process = FORK.Process(target=run, args=(words,))
    process.start()
    return process


def main() -> int:
    kills, *words = int(sys.argv[1]), *sys.argv[2:]
    del sys.argv[1:]
    import train
    from codes import store_writer

    store_writer.SYNC_SECONDS = 0  # a record after every batch, so that kills hit records too
    write, written = store_writer.StoreWriter.write, FORK.Value("q", 0)

    def slowly(*arguments: object) -> None:
        written.value += 1
        time.sleep(0.1)  # in which a kill of this batch finds it
        write(*arguments)  # type: ignore[arg-type]

    store_writer.StoreWriter.write = slowly  # type: ignore[method-assign]

    def words_of(number: int) -> list[str]:
        return [word.replace("{run}", str(number)) for word in words]

    process = start(train.main, words_of(0))
    process.join()
    if process.exitcode or written.value != BATCHES:
        return 1
    rng, hit = random.Random(0), 0
    for number in range(1, kills + 1):
        written.value, last = 0, rng.randint(0, BATCHES)
        process = start(train.main, words_of(number))
        reach(process, written, last)
        time.sleep(rng.uniform(0, 0.12))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        hit += process.exitcode == -signal.SIGKILL
        process = start(train.main, words_of(number))
        process.join()
        if process.exitcode:
            return 1
    print(f"killed {hit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

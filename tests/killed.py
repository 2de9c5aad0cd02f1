"""Runs `train.main`, kills it at seeded random moments, runs it again to its end, and says how often it was hit.

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


def start(run: Callable[[list[str]], object], words: list[str]) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=run, args=(words,))
    process.start()
    return process


def main() -> int:
    kills, *words = int(sys.argv[1]), *sys.argv[2:]
    del sys.argv[1:]
    import train
    from codes import store_writer

    store_writer.SYNC_SECONDS = 0  # a record after every batch, so that kills hit records too
    write = store_writer.StoreWriter.write

    def slowly(*arguments: object) -> None:
        time.sleep(0.1)  # so that the pass, not the start, takes most of the time
        write(*arguments)  # type: ignore[arg-type]

    store_writer.StoreWriter.write = slowly  # type: ignore[method-assign]

    def words_of(number: int) -> list[str]:
        return [word.replace("{run}", str(number)) for word in words]

    began = time.monotonic()
    process = start(train.main, words_of(0))
    process.join()
    whole = time.monotonic() - began
    if process.exitcode:
        return 1
    rng, hit = random.Random(0), 0
    for number in range(1, kills + 1):
        process = start(train.main, words_of(number))
        time.sleep(whole * rng.uniform(0.1, 0.8))
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

"""Kills runs of `train.main` at seeded random moments, and has each go on with `--resume` to its end.

As a program, `python -m tests.killed_runs FOLDER KILLS WORD ...`: it imports once, then forks. `{run}` in a word stands
for the run's number. Run 0 is left alone; run k of 1..KILLS is killed: an even one right before a random one of the
times that it opens, renames or removes a file in FOLDER, an odd one a random moment after; every third is killed once
more while it resumes. Prints how many kills hit.
"""

import multiprocessing
import os
import random
import signal
import sys
import time
from multiprocessing.sharedctypes import Synchronized

TOUCHES = ("open", "os.rename", "os.remove", "os.mkdir")


class Counted:
    """Runs words in a process of its own, which counts its touches of files, and may kill itself before one of them."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.fork = multiprocessing.get_context("fork")

    def start(self, words: list[str], last: int | None = None) -> tuple[multiprocessing.Process, Synchronized]:
        count = self.fork.Value("q", 0)
        process = self.fork.Process(target=self._run, args=(words, count, last))
        process.start()
        return process, count

    def _run(self, words: list[str], count: Synchronized, last: int | None) -> None:
        import train

        def watch(event: str, args: tuple) -> None:
            if event in TOUCHES and str(args[0]).startswith(self.folder):
                count.value += 1
                if count.value == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        train.main(words)


def reach(process: multiprocessing.Process, count: Synchronized, number: int) -> None:
    """Wait until a process has counted so far, or ended."""
    while process.is_alive() and count.value < number:
        time.sleep(0.001)


def main() -> int:
    folder, kills, *words = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
    del sys.argv[1:]
    import train  # noqa: F401 (before the forks)
    from codes import store_writer

    store_writer.SYNC_SECONDS = 0  # a record after every batch, so that kills hit records too
    counted = Counted(folder)

    def words_of(number: int) -> list[str]:
        return [word.replace("{run}", str(number)) for word in words]

    process, count = counted.start(words_of(0))
    process.join()
    touches = count.value
    if process.exitcode:
        return 1
    rng, hit = random.Random(0), 0
    for number in range(1, kills + 1):
        for attempt in range(2 if number % 3 == 0 else 1):
            resume = ["--resume"] * bool(attempt)
            if number % 2:
                process, count = counted.start(words_of(number) + resume)
                reach(process, count, rng.randint(1, touches))
                process.join(rng.uniform(0, 0.1))
                process.kill()
            else:
                process, _ = counted.start(words_of(number) + resume, rng.randint(1, touches))
            process.join()
            hit += process.exitcode == -signal.SIGKILL
        process, _ = counted.start([*words_of(number), "--resume"])
        process.join()
        if process.exitcode:
            print(f"run {number} ended with {process.exitcode}", file=sys.stderr)
            return 1
    print(f"killed {hit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

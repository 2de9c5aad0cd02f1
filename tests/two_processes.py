"""Runs `train.main` as one of several processes; `run_on` starts them, in a program of their own.

As a program, `python -m tests.two_processes 2 "[words]"`: it imports once, then forks, before torch has started a
thread or touched a device.
"""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run_on_two(words: list[str], timeout: float = 300) -> None:
    """Run the words on two gloo processes, and raise with their output if one of them fails."""
    run_on(2, words, timeout)


def run_on(count: int, words: list[str], timeout: float = 300) -> None:
    """Run the words on `count` gloo processes, and raise with their output if one of them fails."""
    process = start_on(count, words)
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill(process)
        raise
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}:\n{output}\n{errors}")


def start_on(count: int, words: list[str]) -> subprocess.Popen[str]:
    """Start the words on `count` gloo processes, in a process group of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "NODE_RANK": "0"}
    environment = os.environ | shared | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.two_processes", str(count), json.dumps(words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill all processes of a group at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def main() -> int:
    count, words = int(sys.argv[1]), json.loads(sys.argv[2])
    del sys.argv[1:]
    import train

    def run(rank: int) -> None:
        os.environ["LOCAL_RANK"] = str(rank)  # so that Lightning starts no processes of its own
        train.main(words)

    processes = [multiprocessing.get_context("fork").Process(target=run, args=(rank,)) for rank in range(count)]
    for process in processes:
        process.start()
    while all(process.is_alive() for process in processes):
        time.sleep(0.05)
    for process in processes:  # the partner of one that failed would wait for it forever
        process.join(120)
        process.kill()
        process.join()
    return any(process.exitcode for process in processes)


if __name__ == "__main__":
    sys.exit(main())

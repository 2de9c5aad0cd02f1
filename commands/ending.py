"""How a command ends: its exit code, and one line on what to do.

| code | what |
|---|---|
| 0 | all that was asked for is whole |
| 1 | a setting, data, weights or the machine do not allow it; the last line says which, and what to do |
| 2 | words that are no options, or values of another kind |
| 130 | stopped by Ctrl-C; the last line is the command that goes on |
| 141 | what read the output ended, as `head` does |
"""

import os
import shlex
import signal
import sys
from argparse import ArgumentError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

__all__ = ["FAILED", "INTERRUPTED", "MISUSED", "end", "one_line"]

FAILED, MISUSED = 1, 2
INTERRUPTED, UNREAD = 130, 141  # 128 and the numbers of SIGINT and SIGPIPE, as shells have it
# An interrupt in here may leave a queue without the notice that its thread or a worker waits for, and the end waiting
# for these: minutes in one of 50 fits of small steps.
LEFT_ALONE = ("tensorboard.", "torch.utils.data.")
SOON = 0.01  # seconds


def end(command: Callable[[], int], *, resumable: bool, debug: bool) -> int:
    """Run a command to its end, whatever that is.

    Args:
        command: what to run; it returns an exit code.
        resumable: whether it takes --resume.
        debug: whether a mistake shows its traceback.

    Returns:
        The exit code.
    """
    program = Path(sys.argv[0]).name
    try:
        with _interruptible():
            code = command()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes the rest when it exits
        return UNREAD
    except (ArgumentError, ValueError, OSError, MisconfigurationException, torch.OutOfMemoryError) as error:
        if debug:
            raise
        print(f"{program}: error: {error}", file=sys.stderr)
        return MISUSED if isinstance(error, ArgumentError) else FAILED
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning turns an interrupt into an exit with code 1.
        if isinstance(stop, SystemExit) and not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        _say(f"\n{program}: stopped{_how_to_go_on() if resumable else ''}")
        return INTERRUPTED


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C wait until nothing is left half done that the end would wait for; a second one does not wait."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background of a shell
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if _is_left_alone(frame):
            signal.setitimer(signal.ITIMER_REAL, SOON)
        else:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_left_alone(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(LEFT_ALONE):
            return True
        frame = frame.f_back
    return False


def one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning as users read it, not which line of code says it: in place of `warnings.formatwarning`."""
    return f"{Path(sys.argv[0]).name}: warning: {message}\n"


@rank_zero_only
def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _how_to_go_on() -> str:
    program, *words = sys.argv
    call = ["python", program] if program.endswith(".py") else [Path(program).name]
    again = [*call, *words] if "--resume" in words else [*call, *words, "--resume"]
    return f". To go on from the last checkpoint: {shlex.join(again)}"

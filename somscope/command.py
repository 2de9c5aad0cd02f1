"""The command `somscope`: train.py, from any folder."""

import os
import signal
import sys

from somscope import open_rooms

__all__ = ["main"]


def main() -> int:
    """Run the process's own arguments, as `python train.py` does, and return the exit code.

    The working folder is the last place that Python looks in, so that `--model.backbone package.module:factory` finds
    a package that lies there.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of the imports, which take seconds
    open_rooms()
    sys.path.append(os.getcwd())
    from train import run

    return run()

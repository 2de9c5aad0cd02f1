"""somscope as it is installed: the command, and the way to the rooms that have common names.

A wheel holds `som`, `codes` and `measures` under these names, since they are for others to import. The other rooms
(`callbacks`, `configs`, `datamodules` and so on) lie in a folder of this package, `somscope/rooms`: other projects have
a `callbacks` of their own, and installing somscope must not take its place. Only the process of the command finds them,
and one that asks for it:

    import somscope

    somscope.open_rooms()
    from lightning_modules import CodeSOM
"""

import sys
from pathlib import Path

__all__ = ["__version__", "open_rooms"]

__version__ = "0.1.0"

ROOMS = ("callbacks", "commands", "compare", "datamodules", "lightning_modules", "train")


def open_rooms() -> Path:
    """Let this process import the rooms with common names, as in a checkout.

    Returns:
        The folder that holds them, which is now the first place that Python looks in.

    Raises:
        ImportError: If something else is imported under the name of a room already.
    """
    here = Path(__file__).resolve().parent
    installed = here / "rooms"
    folder = installed if installed.is_dir() else here.parent  # in a checkout they are beside this package
    for room in ROOMS:
        path = getattr(sys.modules.get(room), "__file__", None)
        if path is not None and not Path(path).resolve().is_relative_to(folder):
            raise ImportError(
                f"'{room}' is imported from '{path}', and somscope has a room of that name: call "
                "somscope.open_rooms() in a process of its own, or before"
            )
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder

"""The state of a fit on disk, after every epoch: a fit that stopped goes on from it and ends the same, bit for bit."""

import json
import os
from pathlib import Path
from typing import Any

from som.fitting import Fit, Progress, processes
from som.storage import read_tensors, to_json, write_tensors


class Checkpoint:
    """One file for one fit.

    Args:
        path: the file.
        settings: what a fit that goes on from it must share, by name; anything JSON can hold.
    """

    def __init__(self, path: str | os.PathLike[str], settings: dict[str, Any]) -> None:
        self.path = Path(path)
        self.settings = settings

    @property
    def seed(self) -> int | None:
        """The seed of the fit in the file; None if there is none."""
        if not self.path.exists():
            return None
        return read_tensors(self.path, settings_only=True)[1].get("settings", {}).get("seed")

    def write(self, fit: Fit) -> None:
        """Write the fit's state, whole or not at all; by the first process alone."""
        if processes()[0]:
            return
        tensors = {f"map.{name}": value for name, value in fit.som.state_dict().items()}
        tensors |= {f"fit.{name}": value for name, value in fit.state.items()}
        write_tensors(self.path, tensors, {"settings": self._of(fit), "progress": vars(fit.progress)})

    def resume(self, fit: Fit) -> Progress:
        """Bring a fit that has not begun to where the file left off, if there is a file.

        Returns:
            The fit's progress.

        Raises:
            ValueError: if the file is no checkpoint, or of a fit that differs, naming the setting.
        """
        if not self.path.exists():
            return fit.progress
        tensors, metadata = read_tensors(self.path)
        mine, its = json.loads(to_json(self._of(fit))), metadata.get("settings", {})
        for name in mine:
            if its.get(name) != mine[name]:
                raise ValueError(
                    f"the checkpoint '{self.path}' is of another fit: its {name} is {its.get(name)!r}, this one's is "
                    f"{mine[name]!r}; give the same parameters and codes, or another file"
                )
        fit.som.load_state_dict(_without_prefix(tensors, "map."))
        for name, value in _without_prefix(tensors, "fit.").items():
            fit.state[name].copy_(value)
        fit.progress = Progress(**metadata["progress"])
        return fit.progress

    def _of(self, fit: Fit) -> dict[str, Any]:
        return self.settings | {"seed": fit.plan.seed, "samples": fit.source.samples, "dimensions": fit.som.dimensions}


def _without_prefix(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

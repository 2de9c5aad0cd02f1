"""What `--resume` goes on with: the latest run of the same command, and which of its stages are whole.

A run's folder has in stages.json the command that made it and the stages that are whole. A stage is one once it is
listed there, after all else, and as long as its numbers and files are there.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser, SaveConfigCallback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_info
from typing_extensions import override

from callbacks.last_checkpoint import LAST
from callbacks.run_folder import atomic, read_measures, run_folder

__all__ = ["ConfigWriter", "PastRun", "mark_whole"]

CONFIG, STAGES = "config.yaml", "stages.json"
FILES = {
    "fit": ("maps.safetensors", "images.parquet", str(LAST)),
    "analyse": ("bmus.parquet", "images.parquet"),
    "attack": ("adversarial.parquet", "images.parquet"),
}
NUMBERS = {"analyse": "validate", "attack": "test"}  # where measures.json has them


@dataclass(frozen=True)
class PastRun:
    """A run that was interrupted, or not.

    Attributes:
        folder: its folder.
        whole: the stages that need not be repeated.
    """

    folder: Path
    whole: frozenset[str]

    @classmethod
    def find(cls, settings: Mapping[str, Any], command: str, config: str) -> "PastRun | None":
        """Find the latest run of a command in the logger's folder.

        Args:
            settings: the trainer's, as parsed.
            command: the subcommand.
            config: the whole configuration, as config.yaml has it.

        Returns:
            The run, or None where there is none yet.

        Raises:
            ValueError: if its configuration differs, or the logger is of a kind whose folders are not known.
        """
        folders = [folder for folder in _folders(settings) if _command(folder) in (command, None)]
        # A run that was refused or killed before it kept anything stands in nobody's way.
        while folders and _is_empty(folders[-1]) and _differing(folders[-1], config):
            folders.pop()
        if not folders:
            rank_zero_info("no run to resume: a new one starts")
            return None
        folder = folders[-1]
        if lines := _differing(folder, config):
            raise ValueError(
                f"--resume: the settings differ from those of the latest run, '{folder}': {'; '.join(lines)}. Give "
                "the same ones, or leave --resume out to start another run"
            )
        return cls(folder, frozenset(stage for stage in FILES if _is_whole(folder, stage)))

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint that the fit goes on from, or None where the run ended before the first one."""
        path = self.folder / LAST
        return path if path.is_file() else None

    def logger(self, settings: Mapping[str, Any]) -> TensorBoardLogger | bool:
        """Make the run's logger anew, for the same folder; what is logged again takes the place of what was.

        Args:
            settings: the trainer's, as parsed.
        """
        if not settings["logger"]:
            return False
        steps = None if "fit" in self.whole else 0
        if steps is not None and self.checkpoint:
            steps = torch.load(self.checkpoint, weights_only=True, map_location="cpu")["global_step"]
        given = settings["logger"]["init_args"].as_dict()
        return TensorBoardLogger(**given | {"version": self.folder.name, "purge_step": steps})

    def clear(self) -> None:
        """Remove what a kill left half-written. On the first process alone."""
        for place in (".", "checkpoints", "figures"):
            for path in (self.folder / place).glob(".*.part"):
                path.unlink()
        (self.folder / "hparams.yaml").unlink(
            missing_ok=True
        )  # Lightning writes it in place, but only if it is missing


class ConfigWriter(SaveConfigCallback):
    """Writes config.yaml whole or not at all, and stages.json before it.

    Args:
        parser: what parsed the configuration.
        config: the configuration.
        command: the subcommand.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, command: str) -> None:
        super().__init__(parser, config)
        self.command = command

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        folder = run_folder(trainer)  # a collective
        if trainer.is_global_zero and not self.already_saved:
            if not (folder / STAGES).exists():
                _write(folder, {"command": self.command, "whole": []})
            with atomic(folder / CONFIG) as part:
                part.write_text(self.parser.dump(self.config, skip_none=False))
        self.already_saved = True


def mark_whole(trainer: pl.Trainer, stage: str) -> None:
    """Note that a stage is whole, after all that it writes. A collective."""
    folder = run_folder(trainer)
    if trainer.is_global_zero and (folder / STAGES).exists():
        record = _read(folder)
        _write(folder, record | {"whole": sorted({*record["whole"], stage})})


def _folders(settings: Mapping[str, Any]) -> list[Path]:
    """The folders of the logger's runs, oldest first."""
    logger = settings["logger"]
    if logger is False:
        return [Path(settings["default_root_dir"] or ".")]
    kind = getattr(logger, "class_path", None)
    if kind is None or not kind.endswith(".TensorBoardLogger"):
        raise ValueError(
            "--resume looks for the run in the folders of one TensorBoardLogger: give it as trainer.logger"
        )
    given = logger["init_args"]
    root = Path(given["save_dir"]) / (given["name"] or "")
    if (version := given["version"]) is not None:
        folder = root / (version if isinstance(version, str) else f"version_{version}")
        return [folder] if folder.is_dir() else []
    found = [path for path in root.glob("version_*") if re.fullmatch(r"version_\d+", path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("version_")))


def _command(folder: Path) -> str | None:
    """The command that made a folder; None for one that was made just before a kill, and holds nothing yet."""
    if (folder / STAGES).is_file():
        return _read(folder)["command"]
    # The logger opens its file of events before a run's first record.
    early = (path.name.endswith(".part") or path.name.startswith("events.out.tfevents.") for path in folder.iterdir())
    return None if all(early) else ""


def _is_empty(folder: Path) -> bool:
    return not (folder / LAST).is_file() and not ((folder / STAGES).is_file() and _read(folder)["whole"])


def _differing(folder: Path, config: str) -> list[str]:
    """Every key in which a folder's configuration differs, with both values."""
    if not (folder / CONFIG).is_file():
        return []
    try:
        saved = _flat(yaml.safe_load((folder / CONFIG).read_text()) or {})
    except (yaml.YAMLError, ValueError, AttributeError) as error:  # AttributeError: a list, or a single word
        raise ValueError(_broken(folder / CONFIG, error)) from error
    given = _flat(yaml.safe_load(config) or {})
    return sorted(
        f"{key} is {given.get(key, 'missing')} here, {saved.get(key, 'missing')} there"
        for key in given.keys() | saved.keys()
        if key not in given or key not in saved or given[key] != saved[key]
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys as dotted ones."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def _is_whole(folder: Path, stage: str) -> bool:
    if not (folder / STAGES).is_file() or stage not in _read(folder)["whole"]:
        return False
    measured = stage not in NUMBERS or NUMBERS[stage] in read_measures(folder)
    return measured and all((folder / name).is_file() for name in FILES[stage])


def _read(folder: Path) -> dict[str, Any]:
    path = folder / STAGES
    try:
        record = json.loads(path.read_text())
        return {"command": str(record["command"]), "whole": [str(stage) for stage in record["whole"]]}
    except (ValueError, LookupError, TypeError) as error:  # ValueError: of JSON or of UTF-8
        raise ValueError(_broken(path, error)) from error


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    with atomic(folder / STAGES) as part:
        part.write_text(json.dumps(record) + "\n")


def _broken(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())  # YAML's take several lines
    return f"'{path}' is broken ({reason}): put a whole copy there, or leave --resume out to start another run"

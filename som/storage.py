"""Maps on disk: safetensors with the settings as metadata, readable without this project; whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> None:
    """Write tensors and JSON settings to a safetensors file; a crash leaves the old file, or none.

    Args:
        path: where to.
        tensors: by name.
        settings: anything JSON can hold, by name.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    metadata = {name: to_json(value) for name, value in settings.items()}
    save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, partial, metadata=metadata)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def to_json(value: object) -> str:
    """JSON, in which the numbers of numpy are numbers."""
    return json.dumps(value, default=lambda number: number.item())


def read_tensors(
    path: str | os.PathLike[str], *, settings_only: bool = False
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote.

    Args:
        path: where from.
        settings_only: whether to leave the tensors where they are.

    Returns:
        The tensors and the settings, by name.

    Raises:
        ValueError: if the file is missing or is no such file.
    """
    if not Path(path).is_file():
        raise ValueError(f"there is no file '{path}': give one that SOM.save or a checkpoint wrote")
    try:
        with safe_open(path, framework="pt") as file:
            settings = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
            return {name: file.get_tensor(name) for name in file.keys() if not settings_only}, settings
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"'{path}' is no map: {error}; give a file that SOM.save or a checkpoint wrote") from None

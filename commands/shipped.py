"""Configurations that come with the project are found from any folder, by the names that they have in it."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["OPTIONS", "ROOT", "find_configs"]

OPTIONS = ("--config", "-c")  # that name a configuration
ROOT = Path(__file__).parents[1]  # where configs/ lies, in the checkout as in an installed package


def find_configs(words: Sequence[str]) -> list[str]:
    """Put the paths of shipped configurations in place of their names, where the working folder has no such file.

    Args:
        words: of the command line.

    Returns:
        The words, with every `--config configs/X.yaml` (or `-c`) that is not there leading to ours.
    """
    found: list[str] = []
    for number, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in OPTIONS and equals:
            found.append(f"{option}={_find(value)}")
        else:
            found.append(_find(word) if number and words[number - 1] in OPTIONS else word)
    return found


def _find(name: str) -> str:
    ours = ROOT / name
    return str(ours) if not Path(name).exists() and ours.is_file() else name

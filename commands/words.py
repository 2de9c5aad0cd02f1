"""The words of the command line: which command they call, whether its configs are ones, what an unknown one may be."""

import difflib
import re
from argparse import ArgumentError
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from commands.shipped import OPTIONS

__all__ = ["check_words", "with_suggestion"]


def check_words(words: Sequence[str], commands: Sequence[str]) -> Sequence[str]:
    """Refuse an unknown command, and configurations that hold no settings.

    Args:
        words: of the command line.
        commands: those that there are.

    Returns:
        The words as they are.

    Raises:
        ArgumentError: if the first word is no command.
        ValueError: if a configuration is no text, is empty, or is no YAML of settings by name.
    """
    if words and not words[0].startswith("-") and words[0] not in commands:
        near = difflib.get_close_matches(words[0], commands, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ArgumentError(None, f"unknown command '{words[0]}': {hint}there are {', '.join(commands)}")
    for number, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in OPTIONS and (equals or number + 1 < len(words)):
            _check_config(Path(value if equals else words[number + 1]))
    return words


def with_suggestion(error: ArgumentError, options: Iterable[str]) -> ArgumentError:
    """The parser's complaint, with the option that its first unknown one may have been meant for."""
    unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", str(error), re.IGNORECASE)
    near = difflib.get_close_matches(unknown[1], list(options), n=1) if unknown else []
    return ArgumentError(None, f"{error}: did you mean {near[0]}?") if near else error


def _check_config(path: Path) -> None:
    if not path.is_file():  # the parser says so
        return
    example = "give a YAML file of settings, such as configs/quickstart.yaml"
    try:
        settings = yaml.safe_load(path.read_text())
    except UnicodeDecodeError as error:
        raise ValueError(f"--config '{path}' is no text: {example}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"--config '{path}' is no YAML ({' '.join(str(error).split())}): {example}") from error
    if settings is None:
        raise ValueError(f"--config '{path}' is empty: {example}")
    if not isinstance(settings, dict):
        raise ValueError(f"--config '{path}' holds a {type(settings).__name__}, not settings by name: {example}")

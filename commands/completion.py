"""`somscope completion bash`: a script that completes commands and options of the installed command in a shell.

It is made once, from what --help prints, so that a tab starts no Python. (What jsonargparse writes by shtab follows
every class that a key of the trainer can take, and comes to 112 MB.)
"""

import argparse
import io
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress

__all__ = ["main"]

DEFAULT = "fit"  # what runs where no command stands
SCRIPT = """# Completes somscope; made by `somscope completion {shell}`.
{head}_somscope() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} offered
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    if [[ $COMP_CWORD == 1 ]]; then
        offered="{commands} $offered"
    elif [[ $before == completion ]]; then
        offered="{shells}"
    elif [[ $before == --* && $word != -* ]]; then
        case $before in
{values}
            *) offered="" ;; # files, by default
        esac
    fi
    COMPREPLY=($(compgen -W "$offered" -- "$word"))
}}
complete -o default -F _somscope somscope
"""
HEADS = {"bash": "", "zsh": "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"}


def main(args: Sequence[str], commands: Mapping[str, Callable[[Sequence[str]], object]]) -> int:
    """Print the script.

    Args:
        args: the arguments after "completion".
        commands: what completes; each prints its options where it is given --help, and exits.

    Returns:
        The exit code, 0.
    """
    parser = argparse.ArgumentParser("somscope completion", description=__doc__.split("\n\n")[0], allow_abbrev=False)
    parser.add_argument("shell", choices=HEADS)
    shell = parser.parse_args(args).shell
    names: dict[str, list[str]] = {}  # commands by their options, which several share
    values: dict[str, str] = {}
    for name, run in commands.items():
        options = _options(run)
        names.setdefault(" ".join(options), []).append(name)
        values |= {option: choices for option, choices in options.items() if choices}
    last = next(options for options, those in names.items() if DEFAULT in those)
    found = {options: "|".join(those) for options, those in names.items() if options != last} | {last: "*"}
    parts = {
        "cases": "\n".join(f'        {those}) offered="{options}" ;;' for options, those in found.items()),
        "values": "\n".join(f'            {option}) offered="{choices}" ;;' for option, choices in values.items()),
    }
    parts |= {"commands": " ".join(commands), "shells": " ".join(HEADS), "head": HEADS[shell]}
    print(SCRIPT.format(shell=shell, **parts), end="")
    return 0


def _options(run: Callable[[Sequence[str]], object]) -> dict[str, str]:
    """The long options of a command's --help, in its order, each with the values that it allows, if they are few."""
    text = io.StringIO()
    with redirect_stdout(text), suppress(SystemExit):
        run(["--help"])
    found = {}
    for line in text.getvalue().splitlines():
        if re.match(r" +-", line):
            head = re.split(r"\s{2,}", line.strip())[0]
            choices = re.search(r"\{([\w.,-]+)\}", head)
            for option in re.findall(r"(?<![\w-])--[\w.]+\+?", head):
                found[option] = choices[1].replace(",", " ") if choices else ""
    return found

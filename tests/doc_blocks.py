"""Reads the blocks of code and the commands of the README and the docs, for tests that run them.

A block that cannot be run has `<!-- not run: why -->` on the line before it. A Python block whose first line is a
comment with a file's name, such as `# my_attacks.py`, is that file.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:<!-- not run: (?P<why>.+?) -->\n)?^ *```(?P<kind>\w+)[^\n]*\n(?P<text>.*?)^ *```$", re.M | re.S)
INLINE = re.compile(r"`((?:python train\.py|somscope|make)[^`]*)`")
FILE = re.compile(r"# (\w+\.py)\n")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    kind: str
    text: str
    why_not: str | None

    @property
    def file(self) -> str | None:
        named = FILE.match(self.text)
        return named and named[1]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, *kinds: str) -> list[Block]:
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        line = text[: match.start("text")].count("\n")
        found.append(Block(page, line, match["kind"], _dedent(match["text"]), match["why"]))
    return [block for block in found if not kinds or block.kind in kinds]


def commands(page: Path) -> list[str]:
    """Every command of ours on a page, in blocks and within lines, without comments and continued lines."""
    lines = []
    for block in blocks(page, "bash"):
        if block.why_not is None:
            lines += _filled_in(re.sub(r"\\\n", " ", block.text)).splitlines()
    outside = BLOCK.sub("", page.read_text())
    lines += [" ".join(match[1].split()) for match in INLINE.finditer(outside)]
    return list(dict.fromkeys(command for line in lines for command in _ours(line)))


def words(command: str) -> list[str]:
    """The words of a command with something in place of what a reader puts in."""
    command = re.sub(r"\{(\w+)(,\w+)+\}", r"\1", command)  # one of
    command = put_in(command).replace("$statistic", "mean").replace("$seed", "1")
    return [re.sub(r"\bN\b", "3", word) for word in shlex.split(command)]


def put_in(text: str) -> str:
    """Put what a reader would in the place of CONFIG and the like."""
    text = re.sub(r"\[(--\w+ \w+)\]", r"\1", text)  # what may be left out
    text = text.replace("CONFIG", "--config configs/quickstart.yaml")
    text = text.replace("runs/.../config.yaml", "configs/quickstart.yaml")
    return re.sub(r"--config (X|FILE)\b", "--config configs/quickstart.yaml", text)


def one_cpu() -> dict[str, Any]:
    """To lay over a configuration: a CPU, random weights, and small maps of the few images that are there."""
    tiny = yaml.safe_load((ROOT / "configs" / "debug" / "tiny.yaml").read_text())
    tiny["model"]["weights"] = "none"
    tiny["data"] |= {"source": None, "per_class": None, "attack_images": 2, "batch_size": 6}
    tiny["pictures"] = False
    tiny["analysis"] = {"samples": 50, "permutations": 9}
    tiny["trainer"] |= {"accelerator": "cpu", "devices": 1, "enable_progress_bar": False}
    return tiny


def _filled_in(text: str) -> str:
    """A script with the variables of one capital letter that it sets, as in C="--config FILE", in their places."""
    for name, value in re.findall(r'^([A-Z])="(.*)"$', text, re.M):
        text = re.sub(rf"\${name}\b", value, text)
    return text


def _ours(line: str) -> list[str]:
    line = re.sub(r"\s#\s.*", "", line)
    return [part.strip() for part in re.split(r";|&&|\|\|| do ", line) if re.match(r" *(python |somscope|make )", part)]


def _dedent(text: str) -> str:
    lines = text.splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "".join(f"{line[indent:]}\n" for line in lines)

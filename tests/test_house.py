"""The rules of the house: who may import whom, how long a file may grow, and that nothing knows where it lies."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OWN = {
    "callbacks",
    "codes",
    "commands",
    "compare",
    "datamodules",
    "lightning_modules",
    "measures",
    "som",
    "somscope",
    "tests",
    "train",
    "benchmarks",
}
LIGHTNING = {"pytorch_lightning", "lightning", "lightning_fabric"}
MAY_IMPORT = {
    "som": {"som"},
    "codes": {"codes"},
    "measures": {"measures", "som"},
    "datamodules": {"datamodules", "codes"},
    "lightning_modules": {"lightning_modules", "codes", "som", "measures"},
    "callbacks": {"callbacks", "lightning_modules", "measures", "codes", "som"},  # views of the maps are som's
    "commands": OWN - {"train", "tests", "benchmarks", "compare"},  # ties the stages to their options
    "compare": {"compare", "callbacks", "som"},  # it draws as the callbacks do, and reads what they wrote
    "somscope": {"somscope", "train"},  # the installed command is train.py
}
WITHOUT_LIGHTNING = ("som", "codes", "measures")
SOURCES = [*sorted(path for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py")), ROOT / "train.py"]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
WRITTEN = [
    *SOURCES,
    *TESTS,
    *(
        path
        for folder in ("configs", "docs", "benchmarks", "scripts", ".ci", ".github")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".png" and path.parent.name not in ("cache", "__pycache__")
    ),
    *(path for path in ROOT.glob("*") if path.suffix in (".md", ".toml", ".cff") or path.name == "Makefile"),
]


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def imported(path):
    """The first names of everything that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(str(node.module).split(".")[0])
    return found


def test_the_rooms_are_found():
    assert all((ROOT / room / "__init__.py").exists() for room in MAY_IMPORT)
    assert len(SOURCES) > 30


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_imports_go_in_one_direction(path):
    room = path.relative_to(ROOT).parts[0]
    allowed = MAY_IMPORT.get(room, OWN - {"train", "tests", "benchmarks"})
    assert imported(path) & OWN <= allowed, f"{room} may import {sorted(allowed)}"
    if room in WITHOUT_LIGHTNING:
        assert not imported(path) & LIGHTNING


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_a_source_file_has_at_most_300_lines_and_says_what_it_is(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text)), "a module docstring"


@pytest.mark.parametrize("path", WRITTEN, ids=names(WRITTEN))
def test_no_file_knows_where_it_was_written(path):
    text = path.read_text()
    assert not [folder for folder in ("work", "root", "home") if "/".join(("", folder, "")) in text]


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_every_source_file_has_a_test_file_of_its_own(path):
    mirror = ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.name}")
    assert path.name == "__init__.py" or mirror in TESTS, f"{mirror.relative_to(ROOT)} is missing"

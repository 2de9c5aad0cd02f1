"""One table of every measure by run and depth: CSV for programs, Markdown for readers.

CSV: one row a run, measure and depth; columns run, measure (`<stage>/<name>`), depth (empty for numbers that are of no
depth), value, low, high (95 % interval), null_mean, null_low, null_high (95 % of the null) and p_value; empty where
there is none. A warning stands in lines that begin with "#", which `pandas.read_csv(..., comment="#")` skips.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from compare.run import Run

__all__ = ["Row", "csv_table", "markdown_table", "rows"]

BESIDE = ("low", "high", "null_mean", "null_low", "null_high", "p_value")


@dataclass(frozen=True)
class Row:
    """One number of one run; None where it is undefined or there is none."""

    run: str
    measure: str
    depth: str
    value: float | None
    low: float | None = None
    high: float | None = None
    null_mean: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    p_value: float | None = None


def rows(runs: Sequence[Run]) -> list[Row]:
    """Every number in the runs' measures.json, with its interval and its null in one row.

    Args:
        runs: in the order of the table.
    """
    found: list[Row] = []
    for run in runs:
        numbers = {(name, depth): value for name, depth, value in _numbers(run.measures, (), run.depths)}
        beside: dict[tuple[str, str], dict[str, float | None]] = {}
        for (name, depth), value in numbers.items():
            base, kind = _base(name, depth, numbers)
            beside.setdefault((base, depth), {})[kind] = value
        found += [Row(run.name, name, depth, **each) for (name, depth), each in beside.items()]
    return found


def csv_table(found: Sequence[Row], warnings: Sequence[str]) -> str:
    """The table as CSV.

    Args:
        found: of :func:`rows`.
        warnings: in what the runs differ.
    """
    out = io.StringIO()
    for warning in warnings:
        out.write(f"# WARNING: the runs differ in {warning}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    writer.writerows(["" if value is None else value for value in astuple(row)] for row in found)
    return out.getvalue()


def markdown_table(found: Sequence[Row], runs: Sequence[Run], warnings: Sequence[str]) -> str:
    """The table as Markdown: a row a measure and run, a column a depth, the runs' own settings before it.

    Args:
        found: of :func:`rows`.
        runs: those compared.
        warnings: in what they differ.
    """
    lines = ["# Runs compared", ""]
    lines += [f"> **WARNING**: the runs differ in {warning}\n" for warning in warnings]
    head = ["run", "backbone", "weights", "lattice", "validation images", "folder"]
    lines += _markdown(head, [_described(run) for run in runs])
    depths = list(dict.fromkeys(depth for run in runs for depth in run.depths))
    lines += ["", "Values [95 % interval] (mean of the null, p-value). docs/measures.md defines the measures.", ""]
    cells = {(row.measure, row.run, row.depth): _cell(row) for row in found}
    by_depth = dict.fromkeys((row.measure, row.run) for row in _ordered(found) if row.depth)
    body = [[*pair, *(cells.get((*pair, depth), "") for depth in depths)] for pair in by_depth]
    lines += _markdown(["measure", "run", *depths], body)
    if others := [row for row in _ordered(found) if not row.depth]:
        lines += ["", "Numbers that are of no depth:", ""]
        lines += _markdown(["measure", "run", "value"], [[row.measure, row.run, _cell(row)] for row in others])
    return "\n".join(lines) + "\n"


def _numbers(
    found: Mapping[str, Any], path: tuple[str, ...], depths: Sequence[str]
) -> Iterator[tuple[str, str, float | None]]:
    """Name, depth and value of every number in nested dicts, whose innermost keys may be depths."""
    by_depth = bool(path) and bool(found) and set(found) <= set(depths)
    for key, value in found.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, (*path, key), depths)
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield ("/".join(path), key, value) if by_depth else ("/".join((*path, key)), "", value)


def _base(name: str, depth: str, numbers: Mapping[tuple[str, str], Any]) -> tuple[str, str]:
    """Of which number, and what, `name` is: `collision_lift_null_low` is the null_low of collision_lift."""
    for kind in sorted(BESIDE, key=len, reverse=True):
        base = name.removesuffix(f"_{kind}")
        if base != name and (base, depth) in numbers:
            return base, kind
    return name, "value"


def _ordered(found: Sequence[Row]) -> list[Row]:
    """Measure by measure, in the order in which they first come."""
    order = {name: number for number, name in enumerate(dict.fromkeys(row.measure for row in found))}
    return sorted(found, key=lambda row: order[row.measure])


def _described(run: Run) -> list[str]:
    lattice, settings = run.lattice, run.settings
    sides = f"{lattice.rows} x {lattice.cols} {lattice.topology}"
    own = [str(settings.get(f"model.{key}", "")) for key in ("backbone", "weights")]
    return [run.name, *own, sides, str(int(run.samples.sum())), str(run.folder)]


def _cell(row: Row) -> str:
    if row.value is None:
        return "undefined"
    text = _number(row.value)
    if row.low is not None and row.high is not None:
        text += f" [{_number(row.low)}, {_number(row.high)}]"
    if row.null_mean is not None:
        text += f" ({_number(row.null_mean)}" + (f", p = {row.p_value:.2g})" if row.p_value is not None else ")")
    return text


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]

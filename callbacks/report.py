"""The closing table of a run, from the numbers in measures.json alone."""

from typing import Any

__all__ = ["closing_table"]

COLUMNS = {
    "quantisation_error": "QE",
    "topographic_error": "TE",
    "effective_units": "effective units",
    "collision_lift": "collision lift",
    "dead_channels": "dead channels",
}


def closing_table(measures: dict[str, Any]) -> str:
    """Lay out what a run measured: the maps by depth, then the attacks by budget.

    Args:
        measures: the content of measures.json; stages that did not run are left out.

    Returns:
        Plain text, a blank line between the tables; empty if nothing was measured.
    """
    tables = []
    maps = measures.get("validate", {})
    if shown := [quantity for quantity in COLUMNS if quantity in maps]:
        depths = list(maps[shown[0]])
        rows = [[depth, *(_number(maps[quantity][depth]) for quantity in shown)] for depth in depths]
        tables.append("Maps, on the validation images\n" + _table(["depth", *(COLUMNS[q] for q in shown)], rows))
    if attacks := measures.get("test"):
        tables.append(_attack_table(attacks))
    return "\n\n".join(tables)


def _attack_table(results: dict[str, Any]) -> str:
    clean = results["clean_accuracy"]
    title = (
        f"Attacks: Linf budget; accuracy against {results['reference']} (95 % Wilson interval);\n"
        "mean displacement of the BMUs in lattice steps: adversarial (noise of the same Linf)"
    )
    header = ["attack", "budget", "accuracy"]
    rows = [["none", "0", _rate(clean)]]
    for attack, by_epsilon in results["attacks"].items():
        for epsilon, numbers in by_epsilon.items():
            moved, noise = numbers["displacement"], numbers["control_displacement"]
            header = header[:3] + list(moved)
            cells = [f"{_number(moved[depth])} ({_number(noise[depth])})" for depth in moved]
            rows.append([attack, epsilon, _rate(numbers["robust_accuracy"]), *cells])
    rows[0] += [""] * (len(header) - 3)
    return f"{title}\n" + _table(header, rows)


def _table(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def _rate(rate: dict[str, float]) -> str:
    if rate["rate"] is None:
        return "undefined"
    return f"{rate['rate']:.2f} ({rate['low']:.2f}-{rate['high']:.2f})"

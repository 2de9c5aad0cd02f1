"""The closing table of a run, from the numbers in measures.json alone."""

from typing import Any

__all__ = ["accounting", "closing_table"]

COLUMNS = {
    "quantisation_error": "QE",
    "topographic_error": "TE",
    "explained_variance": "explained",
    "effective_units": "eff. units",
    "collision_lift": "lift",
    "distance_ratio": "D_in/D_out",
    "label_transfer": "label transfer",
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
        rows = [[depth, *(_cell(maps, quantity, depth) for quantity in shown)] for depth in depths]
        tables.append("Maps, on the validation images\n" + _table(["depth", *(COLUMNS[q] for q in shown)], rows))
    if attacks := measures.get("test"):
        tables.append(_attack_table(attacks))
    return "\n\n".join(tables)


def accounting(results: dict[str, Any]) -> str:
    """Say in a sentence which images were attacked, and what the accuracies are against.

    Args:
        results: the "test" part of measures.json.
    """
    images, attacked = results["images"], results["attacked"]
    if results["clean_accuracy"] is None:
        return f"all {images} images are attacked; accuracy is agreement with {results['reference']}"
    return (
        f"{attacked} of {images} images are right when clean, and attacked; "
        f"accuracy is against {results['reference']}, over all {images}"
    )


def _attack_table(results: dict[str, Any]) -> str:
    clean = results["clean_accuracy"]
    lines = accounting(results).replace("; ", ";\n")
    title = (
        f"Attacks, by Linf budget: {lines} (95 % Wilson interval);\n"
        f"mean displacement of the BMUs over the {results['attacked']}, in lattice steps: "
        "adversarial (noise of the same Linf)"
    )
    header = ["attack", "budget", "agreement" if clean is None else "accuracy"]
    rows = [["none", "0", "1 by definition" if clean is None else _rate(clean)]]
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


def _cell(maps: dict[str, Any], quantity: str, depth: str) -> str:
    """One number of a map; label transfer with its null in brackets.

    No map has more effective units than units, so that an estimate above them has no digits.
    """
    value = maps[quantity][depth]
    if quantity == "label_transfer":
        return f"{_number(value)} ({_number(maps.get('label_transfer_null_mean', {}).get(depth))})"
    units = maps["units"][depth] if quantity == "effective_units" else None
    return f">{units}" if units is not None and value is not None and value > units else _number(value)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def _rate(rate: dict[str, float]) -> str:
    if rate["rate"] is None:
        return "undefined"
    return f"{rate['rate']:.2f} ({rate['low']:.2f}-{rate['high']:.2f})"

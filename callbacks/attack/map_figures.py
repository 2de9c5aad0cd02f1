"""Figures of where attacks carry images on the maps: paths of single images, and flow between the classes' regions."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from callbacks.attack.group import Group
from callbacks.style import DENSITY
from measures import class_centers, unfold

__all__ = ["flow_figure", "trajectories_figure"]

FLOWS = 10  # regions that are shown by name


def trajectories_figure(group: Group, pictures: Mapping[str, Tensor], names: Mapping[int, str] | None = None) -> Figure:
    """Paths of chosen images on the unfolded maps, beside the images themselves.

    A row an image: clean, adversarial, their difference enlarged, then for each depth the map around the clean BMU (o),
    a line to the adversarial BMU (x) and, where training images tell it, the center of the class that the image is
    taken for (star). The background is the density of training images. Lines on paper are torus distances.

    Args:
        group: rows that hold the images.
        pictures: `id` (n,), `clean` and `adversarial` (n, 3, H, W).
        names: class names by number of the backbone.
    """
    depths = group.context.module.depths
    ids = pictures["id"].tolist()
    rows = max(1, len(ids))
    figure = Figure(figsize=(1 + 1.7 * (3 + len(depths)), 0.9 + 1.85 * rows), layout="constrained")
    panels = figure.subplots(rows, 3 + len(depths), squeeze=False)
    for place, (number, row) in enumerate(zip(ids, panels, strict=False)):
        clean, found = (pictures[kind][place].cpu() for kind in ("clean", "adversarial"))
        step = found - clean
        scale = 0.5 / max(float(step.abs().max()), 1e-9)
        at = int(np.flatnonzero(group.columns["id"] == number)[0])
        before, after = (int(group.columns[f"{kind}_prediction"][at]) for kind in ("clean", "adversarial"))
        shown = (
            (clean, f"clean: {_class(before, names)}"),
            (found, f"attacked: {_class(after, names)}"),
            (0.5 + scale * step, f"difference x {scale:.0f}"),
        )
        for axes, (image, text) in zip(row, shown, strict=False):
            axes.imshow(image.clamp(0, 1).permute(1, 2, 0).numpy())
            axes.set_title(text, fontsize=7)
            axes.set_axis_off()
        for axes, depth in zip(row[3:], depths, strict=True):
            _draw_path(axes, group, depth, at, after)
            if place == 0:
                axes.set_title(depth[-14:], fontsize=8)
    figure.suptitle(
        f"{group.spec.label} at {group.name}: from the clean BMU (o) to the adversarial one (x)"
        + ("; star: center of the class it is taken for" if group.context.references.regions else ""),
        fontsize=10,
    )
    return figure


def flow_figure(group: Group, names: Mapping[int, str] | None = None) -> Figure:
    """How successful attacks move images between the classes' regions, a panel a depth.

    A unit belongs to the class that training images make most probable there. Row: the region of the clean BMU; column:
    that of the adversarial one; the share of each row's images is shown, for the regions that hold most clean images.

    Args:
        group: rows of one attack at one budget, with training images.
        names: class names by number of the backbone.
    """
    context = group.context
    depths = context.module.depths
    figure = Figure(figsize=(1.2 + 3.4 * len(depths), 4.6), layout="constrained")
    panels = figure.subplots(1, len(depths), squeeze=False)[0]
    for axes, depth in zip(panels, depths, strict=True):
        regions = context.references.regions[depth]
        units = torch.arange(context.module.lattice.units, device=regions.counts.device)
        owner = regions.probabilities(units).argmax(1).cpu()
        start, end = (owner[group.units(depth, kind, group.success)].numpy() for kind in ("clean", "adversarial"))
        known, counts = np.unique(start, return_counts=True)
        shown = known[np.argsort(-counts, kind="stable")][:FLOWS]
        table = np.zeros((len(shown), len(shown) + 1))
        for row, region in enumerate(shown):
            ends = end[start == region]
            table[row, :-1] = [(ends == other).mean() for other in shown]
            table[row, -1] = 1 - table[row, :-1].sum()
        labels = [_class(int(region), names, 14) for region in shown]
        image = axes.imshow(table, vmin=0, vmax=1, cmap=DENSITY)
        axes.set_xticks(range(len(shown) + 1), [*labels, "other"], rotation=90, fontsize=7)
        axes.set_yticks(range(len(shown)), labels, fontsize=7)
        stays = float((start == end).mean()) if len(start) else float("nan")
        axes.set_title(f"{depth[-14:]}: {stays:.0%} stay", fontsize=9)
    panels[0].set_ylabel("region of the clean BMU", fontsize=8)
    figure.colorbar(image, ax=panels, label="share of the row", shrink=0.7)
    figure.supxlabel("region of the adversarial BMU", fontsize=8)
    count = int(group.success.sum())
    figure.suptitle(f"Flow between class regions under {group.spec.label} at {group.name}: {count} images", fontsize=10)
    return figure


def _draw_path(axes: Axes, group: Group, depth: str, at: int, target: int) -> None:
    lattice, regions = group.context.module.lattice, group.context.references.regions.get(depth)
    units = {kind: torch.tensor([_unit(group, depth, kind, at)]) for kind in ("clean", "adversarial")}
    start = lattice.coordinates(units["clean"])[0].double()
    sides = torch.tensor([lattice.rows, lattice.cols]).double()
    clean, found = (unfold(units[kind], start, lattice)[0] for kind in units)
    if regions is not None:
        grid = regions.density.cpu().view(lattice.rows, lattice.cols).numpy()
        torus = lattice.topology == "torus"
        whole = np.tile(grid, (3, 3)) if torus else np.pad(grid, [(s, s) for s in grid.shape], constant_values=np.nan)
        axes.imshow(whole, cmap="Greys", interpolation="nearest", vmax=2 * np.nanmax(grid))
        center = class_centers(regions.hits.cpu(), lattice).center[target]
        if not center.isnan().any():
            away = center - start
            if lattice.topology == "torus":
                away = torch.remainder(away + sides / 2, sides) - sides / 2
            star = clean + away
            axes.plot(*star.flip(0).tolist(), "*", color="C1", markersize=9)
    axes.plot(*zip(clean.flip(0).tolist(), found.flip(0).tolist(), strict=True), color="C3", linewidth=1.5)
    axes.plot(*clean.flip(0).tolist(), "o", color="C0", markersize=6)
    axes.plot(*found.flip(0).tolist(), "x", color="C3", markersize=7, markeredgewidth=2)
    half = sides / 2 + 0.5
    axes.set_xlim(float(clean[1] - half[1]), float(clean[1] + half[1]))
    axes.set_ylim(float(clean[0] + half[0]), float(clean[0] - half[0]))
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    steps = float(lattice.distance(*units.values()))
    axes.set_xlabel(f"{steps:.1f} steps", fontsize=7)


def _unit(group: Group, depth: str, kind: str, at: int) -> int:
    row, col = (int(group.columns[f"{depth}_{kind}_{axis}"][at]) for axis in ("row", "col"))
    return row * group.context.module.lattice.cols + col


def _class(number: int, names: Mapping[int, str] | None, length: int = 22) -> str:
    name = (names or {}).get(number, f"class {number}").split(",")[0]
    return name if len(name) <= length else name[: length - 1] + "…"

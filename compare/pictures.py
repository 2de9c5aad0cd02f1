"""The pictures of several runs: rows = runs, columns = depths, as the paper has its models and CL1..CL4."""

import difflib
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from callbacks.figures.class_maps import bmus_by_class_figure, class_regions_figure
from callbacks.figures.depth_profile import depth_profile_figure
from callbacks.figures.layout import chosen_classes
from callbacks.figures.losses import losses_figure
from callbacks.figures.maps import density_figure
from callbacks.figures.unfolded import unfolded_figure
from compare.run import Run

__all__ = ["common_depths", "pictures"]


def common_depths(runs: Sequence[Run]) -> tuple[str, ...]:
    """The depths that all runs have, in the order of the first.

    Raises:
        ValueError: if there are none.
    """
    common = tuple(depth for depth in runs[0].depths if all(depth in run.depths for run in runs))
    if not common:
        own = "; ".join(f"{run.name}: {', '.join(run.depths)}" for run in runs)
        raise ValueError(f"the runs have no depth in common ({own}): name their taps alike, as CL1..CL4")
    return common


def pictures(
    runs: Sequence[Run], warning: str, scale: float = 100, wanted: Sequence[str] | None = None
) -> Iterator[tuple[str, Figure]]:
    """Draw the figures one at a time, by name.

    Args:
        runs: those compared, by different names.
        warning: in what they differ.
        scale: factor on densities.
        wanted: names of the classes to show, at most 9; None takes up to 8, evenly spaced.

    Raises:
        ValueError: if a wanted class is not one that all runs have, or there are too many.
    """
    depths = common_depths(runs)
    names, tables = _common_classes(runs, depths)
    chosen = _chosen(names, tables, wanted)
    yield (
        "density",
        density_figure({run.name: {depth: run.hits[depth].sum(0) for depth in depths} for run in runs}, scale, warning),
    )
    if chosen:
        yield "classes", class_regions_figure(tables, names, chosen, warning)
        topologies = {run.name: run.lattice.topology for run in runs}
        yield "unfolded", unfolded_figure(tables, topologies, names, chosen, warning)
        for depth in depths:
            by_run = {run.name: tables[run.name][depth] for run in runs}
            yield f"bmus_by_class_{depth}", bmus_by_class_figure(by_run, names, chosen, depth, warning)
    if (figure := losses_figure({run.name: run.losses for run in runs}, warning)) is not None:
        yield "losses", figure
    numbers = {run.name: run.measures["validate"] for run in runs}
    if (figure := depth_profile_figure(numbers, depths, warning)) is not None:
        yield "depth_profile", figure


Tables = dict[str, dict[str, np.ndarray]]


def _common_classes(runs: Sequence[Run], depths: Sequence[str]) -> tuple[list[str], Tables]:
    """The classes that all runs have, and the counts of theirs alone by run and depth."""
    names = list(runs[0].classes)
    if any(run.classes != runs[0].classes for run in runs):  # by name, which labels are not
        names = [name for name in dict.fromkeys(names) if all(name in run.classes for run in runs)]
        labels = {run.name: [run.classes.index(name) for name in names] for run in runs}
    else:
        labels = {run.name: list(range(len(names))) for run in runs}
    return names, {run.name: {depth: run.hits[depth][labels[run.name]] for depth in depths} for run in runs}


def _chosen(names: Sequence[str], tables: Tables, wanted: Sequence[str] | None) -> list[int]:
    """Positions of the classes to show, all of which have images in every run unless they are wanted."""
    if wanted is None:
        counts = [next(iter(depths.values())).sum((1, 2)) for depths in tables.values()]
        return chosen_classes(np.min(counts, axis=0))
    if len(wanted) > 9:
        raise ValueError(f"--classes names {len(wanted)} classes: a picture tells at most 9 apart")
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, 3) or names[:3]
            raise ValueError(f"--classes: '{name}' is no class that all runs have; did you mean {' or '.join(near)}?")
    return [names.index(name) for name in wanted]

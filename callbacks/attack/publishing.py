"""Where the numbers of the attack stage go: measures.json, figures, TensorBoard, and warnings on the console.

TensorBoard's scalars, whose step axis is the budget in sixteenths of 1/255 (linf), thousandths (l2), hundredths (l1) or
single values (l0); attacks without budgets stand at step 0:

    test/robust_accuracy/<attack>
    test/<attack>_displacement/<depth>    and for noise of the same size test/<attack>_control/<depth>
    test/<attack>_amplification/<depth>   shift of the code over that of the control
    test/<attack>_norm                    median norm found, for attacks that search the least

All figures of the run's folder are there as images, `3_attacks/<figure>`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from callbacks.attack.catalog import Norm
from callbacks.attack.clean_hits import clean_hits
from callbacks.attack.depth_figures import amplification_figure, separation_figure
from callbacks.attack.figures import displacement_figure, robust_accuracy_figure
from callbacks.attack.group import Context, Group, read_groups
from callbacks.attack.map_figures import flow_figure, trajectories_figure
from callbacks.attack.separation import Scores, separation_scores
from callbacks.attack.specs import AttackSpec
from callbacks.figures.attacked_maps import attacked_maps_figure
from callbacks.pictures import keep_figure
from callbacks.report import accounting
from callbacks.run_folder import merge_measures

__all__ = ["STEPS", "draw", "drawn_attacks", "publish"]

ADAPTIVE = "adaptive"

# A budget on TensorBoard's step axis, which holds whole numbers.
STEPS: Mapping[Norm, Callable[[float], int]] = {
    "linf": lambda budget: round(16 * budget),
    "l2": lambda budget: round(1000 * budget),
    "l1": lambda budget: round(100 * budget),
    "l0": round,
    "none": lambda budget: 0,
}


def drawn_attacks(specs: Sequence[AttackSpec]) -> tuple[str, ...]:
    """The attacks whose single images are drawn: the first PGD, or else the first of all, and the adaptive one."""
    first = next((spec for spec in specs if spec.name.startswith("pgd")), specs[0])
    return tuple(spec.label for spec in specs if spec is first or spec.name == ADAPTIVE)


def publish(loggers: Sequence[Logger], ledger: Path, results: dict[str, Any], context: Context) -> None:
    """Publish the numbers of a stage; call it on the first process.

    Args:
        loggers: the trainer's.
        ledger: adversarial.parquet, in the run's folder.
        results: what goes into measures.json under "test".
        context: to read the ledger with.
    """
    merge_measures(ledger.parent, "test", results)
    for check in results["checks"]:
        if check["passed"] is False:
            rank_zero_warn(f"check failed: {check['name']}: {'; '.join(check['evidence'])}")
    for logger in loggers:
        for spec in context.specs:
            for budget in spec.budgets:
                if numbers := results["attacks"][spec.label].get(spec.budget_name(budget)):
                    step = 0 if budget is None else STEPS[spec.norm](budget)
                    logger.log_metrics(_scalars(spec, numbers, context.module.depths), step=step)
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text("test/reference", accounting(results))


def draw(
    loggers: Sequence[Logger],
    ledger: Path,
    results: dict[str, Any],
    context: Context,
    pictures: Mapping[str, Mapping[str, Tensor]],
    names: Mapping[int, str],
) -> None:
    """Draw every figure of a stage, for the run's folder and TensorBoard; call it on the first process.

    Args:
        loggers: the trainer's.
        ledger: adversarial.parquet, in the run's folder.
        results: what `publish` took.
        context: to read the ledger with.
        pictures: by attack, the images whose paths are drawn.
        names: class names by number of the backbone, where they are known.
    """
    figures = {
        "robust_accuracy": robust_accuracy_figure(results),
        "displacement": displacement_figure(results, context.module.depths),
        **({"amplification": amplification_figure(results, context.module.depths)} if results["attacked"] else {}),
        **_figures_of_images(ledger, context, pictures, names),
    }
    writers = [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]
    for name, figure in figures.items():
        keep_figure(ledger.parent, name, figure, writers)


def _figures_of_images(
    ledger: Path, context: Context, pictures: Mapping[str, Mapping[str, Tensor]], names: Mapping[int, str]
) -> dict[str, Figure]:
    """Maps, paths, flow and ROC curves, at the largest budget; curves at the adaptive attack's, if it ran."""
    drawn = drawn_attacks(context.specs)
    adaptive = next((spec for spec in context.specs if spec.name == ADAPTIVE), None)
    figures: dict[str, Figure] = {}
    scores: dict[str, tuple[str, Scores]] = {}
    for group in read_groups(ledger, context):
        spec = group.spec
        if spec.label not in drawn or not group.attacked.any():
            continue
        if group.budget == spec.budgets[-1]:
            if spec.label == drawn[0]:
                figures["attacked_maps"] = _attacked_maps(ledger.parent, group)
            if spec.label in pictures:
                figures[f"trajectories_{spec.label}"] = trajectories_figure(group, pictures[spec.label], names)
            if context.references.regions and group.success.any():
                figures[f"flow_{spec.label}"] = flow_figure(group, names)
        wanted = adaptive.budgets[-1] if adaptive and adaptive.budgets[-1] in spec.budgets else spec.budgets[-1]
        if group.budget == wanted and group.success.any() and not context.embedded:
            scores[spec.label] = f"{spec.label} at {group.name}", separation_scores(group)
    name, under = scores.pop(adaptive.label, ("", None)) if adaptive else ("", None)
    for label, (title, found) in scores.items():
        figures[f"separation_{label}"] = separation_figure(found, title, context.module.depths, under, name)
    return figures


def _attacked_maps(folder: Path, group: Group) -> Figure:
    module = group.context.module
    hits, counted = clean_hits(folder, group, len(module.classes))
    moves = {depth: (group.units(depth, "clean"), group.units(depth, "adversarial")) for depth in module.depths}
    labels, attack = group.of("label").numpy(), f"{group.spec.label} at {group.name}"
    return attacked_maps_figure(hits, moves, labels, module.classes, module.lattice, attack, counted)


def _scalars(spec: AttackSpec, numbers: dict[str, Any], depths: Sequence[str]) -> dict[str, float]:
    scalars = {f"test/robust_accuracy/{spec.label}": numbers["robust_accuracy"]["rate"]}
    if spec.kind == "minimal":
        scalars[f"test/{spec.label}_norm"] = numbers["norm"]["median"]
    for depth in depths:
        scalars[f"test/{spec.label}_displacement/{depth}"] = numbers["displacement"][depth]
        scalars[f"test/{spec.label}_control/{depth}"] = numbers["control_displacement"][depth]
        if depth in numbers["by_depth"]:
            amplification = numbers["by_depth"][depth]["amplification"]["control"]
            scalars[f"test/{spec.label}_amplification/{depth}"] = amplification
    return {name: value for name, value in scalars.items() if math.isfinite(value)}

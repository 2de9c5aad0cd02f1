"""Where the numbers of the attack stage go: measures.json, figures, TensorBoard, and warnings on the console.

TensorBoard's scalars, whose step axis is the budget in sixteenths of 1/255 (linf), thousandths (l2), hundredths (l1) or
single values (l0); attacks without budgets stand at step 0:

    test/robust_accuracy/<attack>
    test/<attack>_displacement/<depth>    and for noise of the same size test/<attack>_control/<depth>
    test/<attack>_amplification/<depth>   shift of the code over that of the control
    test/<attack>_norm                    median norm found, for attacks that search the least
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_warn

from callbacks.attack_catalog import Norm
from callbacks.attack_figures import displacement_figure, robust_accuracy_figure
from callbacks.attack_specs import AttackSpec
from callbacks.report import accounting
from callbacks.run_folder import merge_measures, save_figure

__all__ = ["STEPS", "publish"]

# A budget on TensorBoard's step axis, which holds whole numbers.
STEPS: Mapping[Norm, Callable[[float], int]] = {
    "linf": lambda budget: round(16 * budget),
    "l2": lambda budget: round(1000 * budget),
    "l1": lambda budget: round(100 * budget),
    "l0": round,
    "none": lambda budget: 0,
}


def publish(
    loggers: Sequence[Logger],
    folder: Path,
    results: dict[str, Any],
    specs: Sequence[AttackSpec],
    depths: Sequence[str],
) -> None:
    """Publish the results of a stage; call it on the first process.

    Args:
        loggers: the trainer's.
        folder: the run's folder.
        results: what goes into measures.json under "test".
        specs: the attacks.
        depths: names of the depths.
    """
    merge_measures(folder, "test", results)
    for check in results["checks"]:
        if check["passed"] is False:
            rank_zero_warn(f"check failed: {check['name']}: {'; '.join(check['evidence'])}")
    save_figure(folder, "robust_accuracy", robust_accuracy_figure(results))
    save_figure(folder, "displacement", displacement_figure(results, depths))
    for logger in loggers:
        for spec in specs:
            for budget in spec.budgets:
                if numbers := results["attacks"][spec.label].get(spec.budget_name(budget)):
                    step = 0 if budget is None else STEPS[spec.norm](budget)
                    logger.log_metrics(_scalars(spec, numbers, depths), step=step)
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text("test/reference", accounting(results))


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
    return scalars

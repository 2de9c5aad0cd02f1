"""How TensorBoard lays a run out: curves of all depths on one chart ("Custom Scalars"), and the row of its settings."""

import re
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from typing_extensions import override

from callbacks.foolbox_evaluation import FoolboxEvaluation
from callbacks.settings_table import add_settings, main_settings
from lightning_modules import CodeSOM

__all__ = ["ChartLayout"]

# What is looked for first comes first.
CURVES = {
    "collision lift (1 = labels say nothing)": "validate/collision_lift",
    "explained variance (compares depths)": "validate/explained_variance",
    "D_in / D_out (1 = labels say nothing)": "validate/distance_ratio",
    "effective units": "validate/effective_units",
    "topographic error (0 = perfect)": "validate/topographic_error",
    "quantisation error (compares no depths)": "validate/quantisation_error",
    "energy relative to that of the mean code, while fitting": "fit/relative_energy",
    "energy while fitting (compares no depths)": "fit/energy",
}


class ChartLayout(Callback):
    """Writes the layout of the charts and the row of settings once a run, when its first stage starts."""

    def __init__(self) -> None:
        self._written: set[str] = set()

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        self._write(trainer, pl_module)

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        self._write(trainer, pl_module)

    @override
    def on_test_start(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        self._write(trainer, pl_module)

    def _write(self, trainer: pl.Trainer, module: CodeSOM) -> None:
        stages: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        attacks = [spec.label for stage in stages if isinstance(stage, FoolboxEvaluation) for spec in stage.specs]
        for logger in trainer.loggers:
            if trainer.is_global_zero and isinstance(logger, TensorBoardLogger) and logger.log_dir not in self._written:
                self._written.add(logger.log_dir)
                logger.experiment.add_custom_scalars(layout(module.depths))
                add_settings(logger.experiment, main_settings(module.hparams), module.depths, attacks)


def layout(depths: Sequence[str]) -> dict[str, dict[str, list[object]]]:
    """One multi-line chart a quantity: of the maps with a line a depth, of attacks with a line an attack."""
    maps: dict[str, list[object]] = {
        title: ["Multiline", [f"{re.escape(tag)}/{re.escape(depth)}$" for depth in depths]]
        for title, tag in CURVES.items()
    }
    attacks: dict[str, list[object]] = {"robust accuracy": ["Multiline", ["test/robust_accuracy/"]]}
    for depth in depths:
        lines = f"test/[^/]+_(displacement|control)/{re.escape(depth)}$"
        attacks[f"displacement of BMUs at {depth}, adversarial and noise (control)"] = ["Multiline", [lines]]
    return {"maps, a line a depth": maps, "attacks, over the budget (step: docs/attacks.md)": attacks}

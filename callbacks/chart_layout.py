"""Puts the curves of all depths on one chart each, under TensorBoard's "Custom Scalars"."""

import re
from collections.abc import Sequence

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from typing_extensions import override

from lightning_modules import CodeSOM

__all__ = ["ChartLayout"]

CURVES = {
    "energy while fitting": "fit/energy",
    "energy relative to that of the mean code": "fit/relative_energy",
    "quantisation error": "validate/quantisation_error",
    "explained variance": "validate/explained_variance",
    "topographic error": "validate/topographic_error",
    "effective units": "validate/effective_units",
    "collision lift": "validate/collision_lift",
    "D_in / D_out": "validate/distance_ratio",
}


class ChartLayout(Callback):
    """Writes the layout of the charts once, when a fit starts."""

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: CodeSOM) -> None:  # type: ignore[override]
        for logger in trainer.loggers:
            if trainer.is_global_zero and isinstance(logger, TensorBoardLogger):
                logger.experiment.add_custom_scalars(layout(pl_module.depths))


def layout(depths: Sequence[str]) -> dict[str, dict[str, list[object]]]:
    """One multi-line chart a quantity, with a line for each depth."""
    charts: dict[str, list[object]] = {
        title: ["Multiline", [f"{re.escape(tag)}/{re.escape(depth)}$" for depth in depths]]
        for title, tag in CURVES.items()
    }
    return {"maps by depth": charts}

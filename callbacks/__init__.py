"""Callbacks: what is drawn, what is written to disk, what is attacked."""

from callbacks.analysis import MapAnalysis
from callbacks.analysis_pictures import AnalysisPictures
from callbacks.chart_layout import ChartLayout
from callbacks.code_writer import CodeWriter
from callbacks.foolbox_evaluation import FoolboxEvaluation
from callbacks.loss_curves import LossCurves
from callbacks.map_pictures import MapPictures
from callbacks.run_writer import RunWriter

__all__ = [
    "AnalysisPictures",
    "ChartLayout",
    "CodeWriter",
    "FoolboxEvaluation",
    "LossCurves",
    "MapAnalysis",
    "MapPictures",
    "RunWriter",
]

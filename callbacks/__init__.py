"""Callbacks: what is drawn, what is written to disk, what is attacked."""

from callbacks.analysis import MapAnalysis
from callbacks.chart_layout import ChartLayout
from callbacks.code_writer import CodeWriter
from callbacks.foolbox_evaluation import FoolboxEvaluation
from callbacks.map_pictures import MapPictures
from callbacks.run_writer import RunWriter

__all__ = ["ChartLayout", "CodeWriter", "FoolboxEvaluation", "MapAnalysis", "MapPictures", "RunWriter"]

"""Codes: a frozen backbone, taps on some of its layers, and a vector code for every image at every tapped depth.

``load_backbone`` finds a network, `CodeExtractor` runs it and returns the codes; the rest are their parts. This room is
plain PyTorch and imports none of the others.
"""

from codes.backbones import Backbone, load_backbone
from codes.catalog import CATALOG, CatalogEntry, Preprocessing
from codes.extractor import CodeExtractor, Extraction
from codes.layouts import to_maps
from codes.pixels import pixel_codes
from codes.summaries import STATISTICS, Statistic, code_width, statistic_slices, summarise
from codes.taps import Taps, resolve_taps
from codes.weights import WeightsUnavailableError

__all__ = [
    "CATALOG",
    "STATISTICS",
    "Backbone",
    "CatalogEntry",
    "CodeExtractor",
    "Extraction",
    "Preprocessing",
    "Statistic",
    "Taps",
    "WeightsUnavailableError",
    "code_width",
    "load_backbone",
    "pixel_codes",
    "resolve_taps",
    "statistic_slices",
    "summarise",
    "to_maps",
]

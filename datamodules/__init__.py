"""Data modules: images in [0, 1] with label and stable sample id."""

from datamodules.image_data import ImageData

__all__ = ["ImageData"]

"""Data modules: images in [0, 1] with label and stable sample id; or their codes from a store."""

from datamodules.code_data import CodeData
from datamodules.image_data import ImageData
from datamodules.pass_data import PassData

__all__ = ["CodeData", "ImageData", "PassData"]

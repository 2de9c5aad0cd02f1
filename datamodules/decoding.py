"""Encoded images to pixels, the crop that a backbone sees, and which images cannot be decoded.

JPEGs go through torchvision, which decodes them to Pillow's pixels in less time; all others through Pillow. Resizing
8-bit tensors differs from Pillow's by a level here and there, and is faster (docs/benchmarks.md).
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Literal
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional
from tqdm import tqdm

from datamodules.samples import Encoded, Samples

__all__ = ["LARGEST", "Interpolation", "LostImageError", "center_view", "read_pixels", "to_unit", "why_unreadable"]

Interpolation = Literal["bilinear", "bicubic"]

UNCHANGED = 0  # torchvision's ImageReadMode
LONGEST = 10  # the longer side of what is resized, in shorter sides
LARGEST = {"resize": 4096, "crop": 4096}  # pixels of a side: a batch of 64 takes 13 GB


class LostImageError(OSError):
    """An image that could be read when the run began, and cannot be any more.

    From a worker process, torch hands on the traceback with the message at its end: only the message is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


def read_pixels(encoded: Encoded) -> Tensor:
    """Decode an image to 8-bit RGB: grey-scale is repeated, alpha is dropped, 16 bits are scaled to 8.

    Of an animation the first frame is read.

    Args:
        encoded: a file, the bytes of one, or pixels (H, W, 3) uint8.

    Returns:
        (3, H, W) uint8.

    Raises:
        OSError: if the file is missing, no image, truncated, or of a pixel type whose range is not known.
    """
    if isinstance(encoded, Path):
        encoded = encoded.read_bytes()
    if isinstance(encoded, bytes):
        if encoded.startswith(b"\xff\xd8\xff") and (pixels := _decode_jpeg(encoded)) is not None:
            return pixels
        try:
            with Image.open(BytesIO(encoded)) as file:
                file.load()
                encoded = np.array(_to_rgb(file, file.format))
        except (SyntaxError, ValueError, Image.DecompressionBombError) as error:  # how its plugins report broken files
            raise OSError(str(error)) from error
    return torch.from_numpy(encoded).permute(2, 0, 1)  # channels-last in memory, which is resized fastest


def center_view(pixels: Tensor, resize: int, crop: int, interpolation: Interpolation) -> Tensor:
    """Resize an image by its short side and cut out its center.

    Of an image more than 10 times as long as wide only the middle is resized: all of it may not fit into memory, and
    the crop lies far inside.

    Args:
        pixels: (3, H, W) uint8.
        resize: the short side after resizing, in pixels.
        crop: side of the square that is cut out, in pixels.
        interpolation: "bilinear" or "bicubic", both antialiased.

    Returns:
        (3, crop, crop) uint8.
    """
    height, width = pixels.shape[-2:]
    if max(height, width) > LONGEST * min(height, width):
        pixels = functional.center_crop(pixels, [min(height, LONGEST * width), min(width, LONGEST * height)])
    return functional.center_crop(functional.resize(pixels, [resize], InterpolationMode(interpolation)), [crop, crop])


def to_unit(pixels: Tensor) -> Tensor:
    """Pixels as float32 in [0, 1]."""
    return functional.to_dtype(pixels, torch.float32, scale=True)


def why_unreadable(samples: Samples, positions: Iterable[int]) -> list[str | None]:
    """Decode images at some positions once, to tell before any long work starts which cannot be read.

    JPEGs are decoded at an eighth of their size, which reads the whole file at a fraction of the cost.

    Returns:
        For each position why the image cannot be decoded, or None if it can.
    """
    places = list(positions)
    with catch_warnings(), ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        simplefilter("ignore", Image.DecompressionBombWarning)  # refused below, where Pillow would only warn
        checks = pool.map(lambda place: _why_unreadable(samples, place), places)
        return list(tqdm(checks, "checking images", len(places), leave=False, disable=len(places) < 1000))


def _why_unreadable(samples: Samples, position: int) -> str | None:
    try:
        encoded = samples.encoded(position)
        if isinstance(encoded, np.ndarray):
            return None
        with Image.open(BytesIO(encoded) if isinstance(encoded, bytes) else encoded) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                return f"{image.width} x {image.height} pixels are more than the {limit} that are decoded"
            image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
            _to_rgb(image.crop((0, 0, 1, 1)), image.format)
    except UnidentifiedImageError:
        return "not an image file"
    except Image.DecompressionBombError:
        return f"more pixels than the {Image.MAX_IMAGE_PIXELS} that are decoded"
    except (OSError, SyntaxError, ValueError) as error:
        return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return None


def _decode_jpeg(encoded: bytes) -> Tensor | None:
    """(3, H, W) uint8, or None for what torchvision does not take: other colours, or a release without decoders."""
    try:
        # The operator, since torchvision 0.29 warns at every call of its function that a later release will lack both.
        # Unchanged and not as RGB, since its conversion from CMYK is not Pillow's.
        pixels = torch.ops.image.decode_jpeg(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), UNCHANGED)
    except (RuntimeError, AttributeError):  # AttributeError: there is no such operator
        return None
    return pixels.expand(3, -1, -1) if len(pixels) in (1, 3) else None


def _to_rgb(image: Image.Image, kind: str | None) -> Image.Image:
    """Bring a decoded image of the file format `kind` to 8-bit RGB."""
    # PIL calls 16-bit grey-scale "I;16", or "I" where it comes from a PGM or, in older releases, a PNG.
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        image = image.convert("I").point(lambda value: value / 256).convert("L")  # PIL alone would clip it at 255
    if image.mode in ("I", "F"):
        raise OSError(f"32-bit pixels (mode '{image.mode}') have no known range: save the image with 8 or 16 bits")
    if "transparency" in image.info:  # a palette with alpha has to pass through RGBA
        image = image.convert("RGBA")
    return image.convert("RGB")

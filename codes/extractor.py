"""Images (B, 3, H, W) in [0, 1] to the vector codes (B, D) of every depth, in one pass of a frozen backbone."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from codes.backbones import Backbone, check_images
from codes.pixels import PIXEL_DEPTH, PIXELS, pixel_codes
from codes.summaries import STATISTICS, Statistic, code_width
from codes.taps import Taps, TapSpec, name_taps, output_shapes, resolve_taps


class Extraction(NamedTuple):
    """What one pass gives.

    Attributes:
        codes: Depth to codes, (B, D) float32.
        logits: (B, classes), or None for a backbone without a classifier.
        dead: Depth to the number of channels without a center of mass, (B,) int64.
    """

    codes: dict[str, Tensor]
    logits: Tensor | None
    dead: dict[str, Tensor]


class CodeExtractor(nn.Module):
    """A frozen backbone with taps.

    Gradients reach the pixels; wrap the call in ``torch.no_grad()`` where they are not wanted. Hooks sit on the
    backbone only during a forward. On construction, two images are forwarded to learn the dimensions.

    Args:
        backbone: The frozen backbone.
        taps: Depth to dotted module name, or a list of dotted names; None for the backbone's own.
        statistics: The statistics that make up the codes, in this order.
        image_size: Side in pixels of the images that are forwarded on construction; None for the backbone's crop.
        raw_pixels: Whether the images themselves are a depth, CL0, before those of the taps (see codes/pixels.py).

    Attributes:
        depths: Names of the depths, in the order of the taps.
        taps: Depth to dotted module name; "pixels" for raw pixels.
        dimensions: Depth to number of code dimensions D.
        channels: Depth to number of channels C; 0 for raw pixels, whose code holds no statistics of channels.

    Raises:
        ValueError: If there are no taps, a layer is unknown or cannot be summarised, a tap has the name of the raw
            pixels, or the backbone does not take images of that size.

    Example:
        >>> from codes.backbones import load_backbone
        >>> extractor = CodeExtractor(load_backbone("resnet18", weights="none"), {"CL1": "layer1"}, image_size=64)
        >>> extractor.dimensions
        {'CL1': 320}
        >>> extractor(torch.rand(2, 3, 64, 64)).codes["CL1"].shape
        torch.Size([2, 320])
    """

    depths: tuple[str, ...]
    dimensions: dict[str, int]
    channels: dict[str, int]

    def __init__(
        self,
        backbone: Backbone,
        taps: TapSpec | None = None,
        statistics: Sequence[Statistic] = STATISTICS,
        image_size: int | None = None,
        raw_pixels: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.statistics = tuple(statistics)
        width = code_width(1, self.statistics)
        side = image_size or backbone.preprocessing.crop
        probe = backbone.mean.new_zeros(2, 3, side, side)  # a single one would hide an output that mixes images
        chosen = taps if taps is not None else backbone.taps
        if chosen is None:
            raise ValueError(_without_taps(backbone, probe[:1]))
        self._layers = name_taps(chosen)
        self._raw_pixels = raw_pixels
        if raw_pixels and PIXEL_DEPTH in self._layers:
            raise ValueError(f"a tap is named {PIXEL_DEPTH!r}, the name of the raw pixels: give it another")
        self.taps = ({PIXEL_DEPTH: PIXELS} if raw_pixels else {}) | self._layers
        self.depths = tuple(self.taps)
        resolve_taps(backbone.model, self._layers, backbone.name)
        try:
            with torch.no_grad():
                codes = self(probe).codes
        except (AssertionError, RuntimeError, TypeError) as error:
            raise self._of_another_size(side, error) from error
        self.dimensions = {depth: code.shape[1] for depth, code in codes.items()}
        self.channels = {depth: size // width for depth, size in self.dimensions.items()}
        if raw_pixels:
            self.channels[PIXEL_DEPTH] = 0

    def forward(self, images: Tensor) -> Extraction:
        """Extract the codes of a batch.

        Args:
            images: (B, 3, H, W), floating point, in [0, 1], not normalised.

        Returns:
            Codes and dead channels of every depth, and the logits.

        Raises:
            ValueError: If the images have another shape or type, or a tapped layer never runs, runs more than once, or
                gives no feature map.
        """
        check_images(images)
        backbone = self.backbone
        taps = Taps(
            backbone.model,
            self._layers,
            images.shape,
            self.statistics,
            backbone.prefix_tokens,
            backbone.layout,
            backbone.name,
        )
        with taps:
            output = backbone(images)
        codes, dead = taps.codes, taps.dead
        if self._raw_pixels:
            pixels = pixel_codes(images)
            codes = {PIXEL_DEPTH: pixels} | codes
            dead = {PIXEL_DEPTH: torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)} | dead
        return Extraction(codes, output if backbone.num_classes is not None else None, dead)

    @torch.no_grad()
    def check_size(self, side: int) -> None:
        """Refuse a size of images that the backbone does not take, before any long work starts.

        Args:
            side: Side of the square images in pixels.

        Raises:
            ValueError: If two such images cannot be forwarded, or their codes cannot be taken.
        """
        own = self.backbone.preprocessing.crop
        if side == own:
            return  # forwarded on construction
        try:
            self(self.backbone.mean.new_zeros(2, 3, side, side))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise self._of_another_size(side, error) from error

    def _of_another_size(self, side: int, error: Exception) -> ValueError:
        own = self.backbone.preprocessing.crop
        remedy = "give the size that it takes as data.resize and data.crop"
        if side != own:
            remedy = f"leave data.crop and data.resize out for its own size, {own}"
        return ValueError(
            f"images of {side} x {side} pixels do not go through {self.backbone.name!r} ({error}): {remedy}"
        )


@torch.no_grad()
def _without_taps(backbone: Backbone, probe: Tensor) -> str:
    shapes = output_shapes(backbone.model, lambda: backbone(probe))
    listed = ", ".join(f"{layer} {shape}" for layer, shape in shapes.items())
    return (
        f"backbone {backbone.name!r} has no default taps; name the layers to tap, e.g. "
        f"{{'CL1': {next(iter(shapes), '')!r}}}. Some, with the shapes they give for one image: {listed}"
    )

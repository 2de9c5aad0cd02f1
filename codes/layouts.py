"""What a module returns, (B, C, H, W), (B, H, W, C) or (B, T, D), as feature maps (B, C, H, W).

Convolutional networks keep channels first, torchvision's and timm's Swin keep them last, and a vision transformer
returns tokens: class and register tokens first, then the patches row by row.

The rule. An axis pair is a *grid* of the image if its aspect ratio is the image's to within one row or column. Four
dimensions: the last two axes are tried as the grid first (NCHW), then axes 1 and 2 (NHWC). A tie, such as a map of 96
channels at 96 x 96 positions, goes to the layout the backbone declares, NCHW unless it says otherwise. Three
dimensions: the prefix tokens are left out and the others laid on the grid that fits their number; if none fits (CaiT's
and XCiT's blocks run without their class token) the whole sequence is tried.
"""

from typing import Literal

from torch import Tensor

Layout = Literal["NCHW", "NHWC"]


def to_maps(output: object, image_size: tuple[int, int], prefix_tokens: int, layout: Layout = "NCHW") -> Tensor:
    """Bring a module's output to channels-first feature maps.

    Args:
        output: What the module returned: (B, C, H, W), (B, H, W, C) or (B, T, D) with T tokens.
        image_size: Height and width of the images that went into the network, in pixels.
        prefix_tokens: Number of class and register tokens before the patch tokens.
        layout: The layout that wins where four dimensions can be read both ways.

    Returns:
        Feature maps (B, C, H, W): a view of ``output``, never a copy.

    Raises:
        ValueError: If ``output`` is not a tensor of 3 or 4 dimensions, or no grid of ``image_size`` fits it.

    Example:
        >>> import torch
        >>> to_maps(torch.zeros(2, 1 + 5 * 7, 192), (80, 112), prefix_tokens=1).shape
        torch.Size([2, 192, 5, 7])
    """
    if not isinstance(output, Tensor):
        raise ValueError(f"gives a {type(output).__name__}, not a tensor; {_ADVICE}")
    shape = tuple(output.shape)
    if output.ndim == 4:
        first, last = _is_grid(shape[2], shape[3], image_size), _is_grid(shape[1], shape[2], image_size)
        if first and (layout == "NCHW" or not last):
            return output
        if last:
            return output.permute(0, 3, 1, 2)
        raise ValueError(
            f"gives shape {shape}, in which neither the last two axes nor axes 1 and 2 have the aspect ratio of the "
            f"{image_size[0]} x {image_size[1]} image; {_ADVICE}"
        )
    if output.ndim == 3:
        for prefix in dict.fromkeys((prefix_tokens, 0)):
            grid = _grid(shape[1] - prefix, image_size)
            if grid is not None:
                return output[:, prefix:].transpose(1, 2).unflatten(2, grid)
        raise ValueError(
            f"gives shape {shape}: {shape[1]} tokens, {prefix_tokens} of them class or register tokens, lie on no grid "
            f"with the aspect ratio of the {image_size[0]} x {image_size[1]} image; {_ADVICE}"
        )
    raise ValueError(f"gives shape {shape}, which has no spatial axes; {_ADVICE}")


_ADVICE = "tap a module that returns (B, C, H, W), (B, H, W, C) or (B, tokens, D)"


def _is_grid(height: int, width: int, image_size: tuple[int, int]) -> bool:
    """Whether height x width has the image's aspect ratio to within one row or column."""
    return abs(height * image_size[1] - width * image_size[0]) < max(image_size)


def _grid(tokens: int, image_size: tuple[int, int]) -> tuple[int, int] | None:
    """The factorisation of ``tokens`` that is nearest to the image's aspect ratio, if one is near enough."""
    grids = [(h, tokens // h) for h in range(1, tokens + 1) if tokens % h == 0]
    grids = [grid for grid in grids if _is_grid(*grid, image_size)]
    return min(grids, key=lambda grid: abs(grid[0] * image_size[1] - grid[1] * image_size[0]), default=None)

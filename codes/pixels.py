"""Raw pixels as a code: the control that no network has touched, CL0.

Images (B, 3, H, W) are averaged over the cells of a 16 x 16 grid, and the code lists the grids of the three colors one
after the other, each row by row.
"""

from torch import Tensor
from torch.nn import functional

GRID = 16
PIXELS = "pixels"  # stands where taps have the dotted name of a layer
PIXEL_DEPTH = "CL0"


def pixel_codes(images: Tensor) -> Tensor:
    """Take the codes of images themselves; differentiable.

    Args:
        images: (B, 3, H, W), floating point, in [0, 1].

    Returns:
        (B, 768) float32, in [0, 1]. Cells of images smaller than the grid repeat pixels.

    Example:
        >>> import torch
        >>> pixel_codes(torch.full((2, 3, 32, 48), 0.5)).unique()
        tensor([0.5000])
    """
    return functional.adaptive_avg_pool2d(images.float(), GRID).flatten(1)

"""How far codes move when their input changes, in units that compare between depths, and how far towards a class.

Codes x (B, D) and the scale are of one space, such as that of the map (``map.encode(codes)``); the scale is the median
distance between the codes of two images (``measures.median_pairwise_distance``).
"""

import torch
from torch import Tensor


def relative_shift(before: Tensor, after: Tensor, scale: float | Tensor) -> Tensor:
    """Distance between the codes of an image before and after a change, over that of two images.

    0 = the code did not move, 1 = it moved as far as another image is. Neither direction is better.

    Args:
        before: (B, D).
        after: (B, D) codes of the same samples, in the same order.
        scale: the median distance between two images.

    Returns:
        (B,) float32; NaN for a scale of 0 or NaN.

    Example:
        >>> relative_shift(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), scale=10.0)
        tensor([0.5000])
    """
    scale = torch.as_tensor(scale, device=before.device)
    moved = torch.linalg.vector_norm(after.float() - before.float(), dim=1)
    return torch.where(scale > 0, moved / scale, torch.nan)


def progress(before: Tensor, after: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """How far a change carries codes from the mean of their class towards that of another.

    tau = (x' - x) . (mu_t - mu_y) / |mu_t - mu_y|^2: 0 = stayed or moved sideways, 1 = moved by one class gap; negative
    = away from the other class.

    Args:
        before: (B, D) codes x.
        after: (B, D) codes x' of the same samples.
        own: (B, D) mean mu_y of each sample's class.
        other: (B, D) mean mu_t of the class that it may move to.

    Returns:
        (B,) float32; NaN where the means are equal or not known (NaN).

    Example:
        >>> own, other = torch.tensor([[0.0, 0.0]]), torch.tensor([[4.0, 0.0]])
        >>> progress(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 9.0]]), own, other)
        tensor([0.2500])
    """
    gap = (other - own).double()
    along = ((after - before).double() * gap).sum(1)
    squared = gap.square().sum(1)
    return torch.where(squared > 0, along / squared, torch.nan).float()

"""The summary of feature maps on a GPU, in one read of them: a kernel of Triton's, which comes with torch for CUDA.

It computes what codes/summaries.py says, by the same rules, but has no derivative. torch alone reads a map seven times
over, and starts some thirty kernels for it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

PLACES = 16  # positions of a map that one step of the kernel reads
CHANNELS = 32  # channels of one program


@triton.jit
def _summarise(
    maps,
    codes,
    dead,
    channels,
    per_image,
    per_channel,
    per_row,
    per_col,
    dimensions,
    max_at,
    mean_at,
    std_at,
    row_at,
    col_at,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    PLACES: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Summarise a block of channels of an image; `..._at` is where a statistic starts in the code, -1 for nowhere.

    Place p of each step has sums of its own, so that steps need not wait for each other; they are joined at the end.
    """
    image = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    real = channel < channels
    start = maps + image * per_image + channel.to(tl.int64)[None, :] * per_channel
    peak = tl.full((PLACES, CHANNELS), float("-inf"), tl.float32)
    mean = tl.zeros((PLACES, CHANNELS), tl.float32)
    squares = tl.zeros((PLACES, CHANNELS), tl.float32)  # of the deviations from the mean
    mass = tl.zeros((PLACES, CHANNELS), tl.float32)
    row_moment = tl.zeros((PLACES, CHANNELS), tl.float32)
    col_moment = tl.zeros((PLACES, CHANNELS), tl.float32)
    for step in range(tl.cdiv(HEIGHT * WIDTH, PLACES)):
        place = step * PLACES + tl.arange(0, PLACES)
        row, col = place // WIDTH, place % WIDTH
        here = (place < HEIGHT * WIDTH)[:, None]
        offset = (row.to(tl.int64) * per_row + col.to(tl.int64) * per_col)[:, None]
        value = tl.load(start + offset, mask=here & real[None, :], other=0.0).to(tl.float32)
        peak = tl.maximum(peak, tl.where(here, value, float("-inf")), propagate_nan=tl.PropagateNan.ALL)
        shift = tl.where(here, value - mean, 0.0)  # Welford's mean and squares
        mean += shift / (step + 1)
        squares += shift * (value - mean)
        # Axes from -1 to 1; one of a single position lies at 0.
        y = row * (2.0 / max(HEIGHT - 1, 1)) - (1.0 if HEIGHT > 1 else 0.0)
        x = col * (2.0 / max(WIDTH - 1, 1)) - (1.0 if WIDTH > 1 else 0.0)
        positive = tl.where(value <= 0.0, 0.0, value)  # NaN stays
        mass += positive
        row_moment += positive * y[:, None]
        col_moment += positive * x[:, None]
    unreal = tl.sum((peak != peak).to(tl.int32), axis=0) > 0
    peak = tl.where(unreal, float("nan"), tl.max(peak, axis=0))
    # The squares of all from those of the places (Chan, Golub and LeVeque 1979, eq. 2.1).
    count = (HEIGHT * WIDTH + PLACES - 1 - tl.arange(0, PLACES)) // PLACES  # steps that a place took part in
    count = count.to(tl.float32)[:, None]
    overall = tl.sum(mean * count, axis=0) / (HEIGHT * WIDTH)
    apart = tl.where(count > 0, mean - overall[None, :], 0.0)
    variance = tl.sum(squares + apart * apart * count, axis=0) / (HEIGHT * WIDTH)
    rounding = 1e-6 * tl.abs(peak)
    constant = ((tl.abs(peak - overall) <= rounding) & (variance <= rounding * rounding)) | (variance <= 0.0)
    code = codes + image * dimensions + channel
    if max_at >= 0:
        tl.store(code + max_at, peak, mask=real)
    if mean_at >= 0:
        tl.store(code + mean_at, overall, mask=real)
    if std_at >= 0:
        tl.store(code + std_at, tl.where(constant, 0.0, tl.sqrt(variance)), mask=real)
    if row_at >= 0:
        total = tl.sum(mass, axis=0)
        massless = total < 1.1754943508222875e-38  # the smallest normal float32
        divisor = tl.where(massless, 1.0, total)
        tl.store(code + row_at, tl.where(massless, 0.0, tl.sum(row_moment, axis=0) / divisor), mask=real)
        tl.store(code + col_at, tl.where(massless, 0.0, tl.sum(col_moment, axis=0) / divisor), mask=real)
        tl.store(dead + image * channels + channel, massless.to(tl.int8), mask=real)


def summarise(maps: Tensor, blocks: dict[str, slice]) -> tuple[Tensor, Tensor]:
    """Summarise every channel of feature maps (B, C, H, W), of any strides, in float32, float16 or bfloat16.

    Args:
        maps: On a GPU; not empty.
        blocks: Where the statistics ``max``, ``mean``, ``std``, ``row`` and ``col`` lie in the code; those that are
            left out are not computed, row and column only together.

    Returns:
        Codes (B, D) float32 and the number of channels without a center of mass, (B,) int64, as
        `codes.summaries.summarise` gives them, up to rounding.
    """
    batch, channels, height, width = maps.shape
    codes = maps.new_empty(batch, len(blocks) * channels, dtype=torch.float32)
    centered = "row" in blocks
    dead = maps.new_empty(batch, channels if centered else 0, dtype=torch.int8)
    starts = [blocks[name].start if name in blocks else -1 for name in ("max", "mean", "std", "row", "col")]
    grid = (batch, triton.cdiv(channels, CHANNELS))
    arguments = (maps, codes, dead, channels, *maps.stride(), codes.shape[1], *starts)
    with torch.cuda.device_of(maps):
        _summarise[grid](*arguments, HEIGHT=height, WIDTH=width, PLACES=PLACES, CHANNELS=CHANNELS)
    return codes, dead.sum(1, dtype=torch.int64)

"""The vector code once more, in float64 loops over plain Python numbers: slow, obvious and independent."""

import math

from torch import Tensor


def summarise_slowly(maps: Tensor) -> tuple[list[list[float]], list[int]]:
    """Code [max | mean | std | row | col] and number of dead channels of each of the B maps (C, H, W)."""
    codes, dead = [], []
    for image in maps.double().tolist():
        channels = [_channel(channel) for channel in image]
        codes.append([channel[i] for i in range(5) for channel in channels])
        dead.append(sum(channel[5] for channel in channels))
    return codes, dead


def _channel(rows: list[list[float]]) -> tuple[float, float, float, float, float, int]:
    height, width = len(rows), len(rows[0])
    values = [value for row in rows for value in row]
    mean = sum(values) / len(values)
    std = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    mass = row_moment = col_moment = 0.0
    for i in range(height):
        for j in range(width):
            weight = max(rows[i][j], 0.0)
            mass += weight
            row_moment += weight * (2 * i / (height - 1) - 1 if height > 1 else 0.0)
            col_moment += weight * (2 * j / (width - 1) - 1 if width > 1 else 0.0)
    if mass == 0:
        return max(values), mean, std, 0.0, 0.0, 1
    return max(values), mean, std, row_moment / mass, col_moment / mass, 0

"""How many codes are worked on at a time."""

import torch

ROWS = 2**10  # on a CPU: they stay in its cache from one step to the next
DEVICE_ROWS = 2**14  # elsewhere, at most: enough to keep a device busy, whose every step waits for the processor
DEVICE_NUMBERS = 2**26  # ... and in all: 256 MB in float32


def rows_at_once(device: torch.device, width: int) -> int:
    """Codes at a time on a device, of so many numbers each: 1,024 on a CPU, at most 16,384 elsewhere.

    Example:
        >>> rows_at_once(torch.device("cuda"), 10_240)
        6553
    """
    if device.type == "cpu":
        return ROWS
    return max(ROWS, min(DEVICE_ROWS, DEVICE_NUMBERS // max(width, 1)))

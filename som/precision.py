"""Full float32 in the matrix products that a search's guarantees rest on."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

_LOCK = Lock()
_INSIDE: Counter[str] = Counter()  # searches under way, in all threads, by type of device
_BEFORE: dict[str, str] = {}


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Multiply in float32, whatever autocast and ``torch.set_float32_matmul_precision`` say.

    Both are afterwards what they were. The second belongs to the whole process: other threads multiply in float32
    meanwhile, too, and a setting that matrix products inherit from ``torch.backends.fp32_precision`` is theirs from
    then on.

    Args:
        device: where the products run.
    """
    kind = "cuda" if device.type == "cuda" else "mkldnn"
    products = getattr(torch.backends, kind).matmul
    with _LOCK:
        if not _INSIDE[kind]:
            _BEFORE[kind], products.fp32_precision = products.fp32_precision, "ieee"
        _INSIDE[kind] += 1
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        with _LOCK:
            _INSIDE[kind] -= 1
            if not _INSIDE[kind]:  # nobody else is at it
                products.fp32_precision = _BEFORE[kind]

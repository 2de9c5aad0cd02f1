"""Full float32 in the matrix products that a search's guarantees rest on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Multiply in float32, whatever autocast and ``torch.set_float32_matmul_precision`` say.

    They are left as they were. The second is a setting of the whole process: other threads multiply in float32
    meanwhile, too.

    Args:
        device: where the products run.
    """
    products = (torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn).matmul
    before = products.fp32_precision
    products.fp32_precision = "ieee"
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        products.fp32_precision = before

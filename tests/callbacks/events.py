"""The pictures in a run's event files."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def pictures(folder: Path) -> Mapping[str, dict[int, np.ndarray]]:
    """(H, W, 3) uint8 by tag and step."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    found: dict[str, dict[int, np.ndarray]] = {}
    for tag in events.PluginTagToContent("images"):
        for event in events.Tensors(tag):
            width, height, file = event.tensor_proto.string_val
            pixels = np.asarray(Image.open(io.BytesIO(file)))
            assert pixels.shape == (int(height), int(width), 3)
            assert event.step not in found.setdefault(tag, {})
            found[tag][event.step] = pixels
    return found

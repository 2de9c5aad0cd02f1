"""How many images a configuration takes, and how fast they decode, without a pass over them."""

import time

import numpy as np

from datamodules.dataset import ImageDataset
from datamodules.image_data import ImageData
from datamodules.subsets import draw_per_class

__all__ = ["count_images", "decoding_rate"]


def count_images(data: ImageData) -> dict[str, int]:
    """Count the images of each stage as they are listed: "train", "val" and "attack". None is opened.

    Args:
        data: the data module; files that cannot be read are not known yet, and counted.
    """
    source = data.listed()
    usable = {split: np.ones(len(samples), bool) for split, samples in source.splits.items()}
    fit: dict[str, np.ndarray] = {split: usable[split] for split in ("train", "val") if split in usable}
    counts = {split: len(taken) for split, taken in draw_per_class(source, fit, data.per_class, data.seed).items()}
    if data.embedded:
        counts = {"train": counts["train"] * data.views, "val": counts["val"] * (data.views // 4)}
    attacked = len(source.splits["test" if "test" in source.splits else "val"])
    return counts | {"attack": attacked if data.attack_images is None else min(data.attack_images, attacked)}


def decoding_rate(data: ImageData, seconds: float = 1.0) -> float:
    """Measure how many images a second one process decodes, resizes and crops.

    Args:
        data: the data module, once it has adopted a backbone's preprocessing.
        seconds: how long to try; at least two images.
    """
    samples, wanted = data.listed().splits["train"], data.preprocessing
    order = np.random.default_rng(0).permutation(len(samples))
    dataset = ImageDataset(samples, wanted.resize, wanted.crop, wanted.interpolation)
    start, done = 0.0, 0
    for position in order.tolist():
        try:
            dataset[position]
        except OSError:  # one that cannot be read, which the run will leave out
            continue
        if not start:  # the first is not timed
            start = time.perf_counter()
            continue
        done += 1
        if time.perf_counter() - start > seconds:
            break
    return done / (time.perf_counter() - start) if done else float("inf")

"""The codes that maps are timed on: of real images, widened to the sizes of the benchmark with their own covariance.

EfficientNet-Lite0's codes at its four depths are put side by side (2,480 numbers an image) and standardised. A seeded
Gaussian projection takes them to D dimensions, and new codes are drawn around each group of images (the views of one
photograph, or the images of one class) with the group's own mean and covariance.
"""

from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from codes import CodeExtractor, load_backbone
from datamodules import ImageData

CACHE = Path(__file__).parent / "cache"
VIEWS = 60  # of each of the 20 embedded photographs


def widened_codes(samples: int, dimensions: int, root: str | None = None, seed: int = 0) -> Tensor:
    """Codes (samples, dimensions) float32 in random order.

    Args:
        samples: N.
        dimensions: D.
        root: a folder with train/<class>/ images; None for views of the embedded photographs.
        seed: of the projection, the draws and the order.
    """
    codes, groups = _image_codes(root)
    generator = torch.Generator().manual_seed(seed)
    projection = torch.randn(codes.shape[1], dimensions, generator=generator) / codes.shape[1] ** 0.5
    codes = codes @ projection
    names = groups.unique()
    drawn = []
    for number, name in enumerate(names):
        size = samples // len(names) + (number < samples % len(names))
        group = codes[groups == name]
        deviations = (group - group.mean(0)) / (len(group) - 1) ** 0.5
        drawn.append(group.mean(0) + torch.randn(size, len(group), generator=generator) @ deviations)
    return torch.cat(drawn)[torch.randperm(samples, generator=generator)].contiguous()


def _image_codes(root: str | None) -> tuple[Tensor, Tensor]:
    """Standardised codes (M, 2480) of images, and the group of each; extracted once, then read from the cache."""
    name = "embedded" if root is None else Path(root).name
    cached = CACHE / f"{name}.pt"
    if not cached.exists():
        data = ImageData(root=root, batch_size=20, views=VIEWS, num_workers=2)
        data.setup("predict")
        loader = data.predict_dataloader()["train"]
        extractor = CodeExtractor(load_backbone("efficientnet_lite0"))
        codes, groups = [], []
        with torch.inference_mode():
            for batch in tqdm(loader, desc=f"codes of {name} images", unit="batch"):
                codes.append(torch.cat(list(extractor(batch["image"]).codes.values()), dim=1))
                groups.append(batch["label"] if root else batch["id"] // VIEWS)
        CACHE.mkdir(exist_ok=True)
        torch.save((torch.cat(codes), torch.cat(groups)), cached)
    codes, groups = torch.load(cached)
    deviation = codes.std(0)
    varied = deviation > 1e-6
    return (codes - codes.mean(0))[:, varied] / deviation[varied], groups

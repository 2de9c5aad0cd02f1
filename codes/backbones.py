"""Frozen networks that take images in [0, 1], found by name: images (B, 3, H, W) to logits (B, classes)."""

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Self

import timm
import torch
from torch import Tensor, nn

from codes.catalog import CATALOG, Preprocessing
from codes.libraries import (
    Parts,
    build_efficientnet_lite,
    build_factory,
    build_timm,
    build_torchvision,
    declared_layout,
    prefix_tokens,
    torchvision_names,
)

_FORMS = (
    "allowed are a name of the catalog ({}), torchvision/NAME, timm/NAME, and an import path package.module:factory"
)


class Backbone(nn.Module):
    """A frozen network that normalises its images itself.

    Parameters take no gradient, the network stays in eval mode whatever `train` is called with, and gradients reach
    the pixels.

    Args:
        name: The name under which it was loaded.
        model: The network; it is frozen and brought to channels-last memory format in place.
        preprocessing: How the network wants its images.
        taps: Depth to dotted module name of the default cut points, or None.
        num_classes: Number of logits, or None for a network without a classifier.
        expected_accuracy: Published top-1 accuracy on ImageNet of these weights in [0, 1], or None.
        expected_photographs: How many of the 20 embedded photographs these weights classify correctly, or None.

    Attributes:
        prefix_tokens: Number of class and register tokens before a transformer's patch tokens.
        layout: The layout of feature maps that the network declares, "NCHW" or "NHWC".
        mean: Mean of each color channel, (3, 1, 1), a buffer outside the state dict; ``std`` likewise.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        model: nn.Module,
        preprocessing: Preprocessing,
        taps: Mapping[str, str] | None = None,
        num_classes: int | None = None,
        expected_accuracy: float | None = None,
        expected_photographs: int | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.model = model.requires_grad_(False).to(memory_format=torch.channels_last)
        self.preprocessing = preprocessing
        self.taps = dict(taps) if taps is not None else None
        self.num_classes = num_classes
        self.expected_accuracy = expected_accuracy
        self.expected_photographs = expected_photographs
        self.prefix_tokens = prefix_tokens(model)
        self.layout = declared_layout(model)
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(3, 1, 1), persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: (B, 3, H, W), floating point, in [0, 1], not normalised.

        Returns:
            Logits, (B, classes); for a network without a classifier, whatever tensor it returns.

        Raises:
            ValueError: If the images have another shape or type, or the network does not return a tensor.
        """
        check_images(images)
        if self.model.training:  # somebody reached inside; BatchNorm would drift
            self.eval()
        output = self.model((images - self.mean) / self.std)
        if not isinstance(output, Tensor):
            raise ValueError(
                f"backbone {self.name!r} returns a {type(output).__name__}, not a tensor of logits; name the import "
                "path of a factory that wraps it in a module that returns its logits"
            )
        return output

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, whatever ``mode`` says: a parent's ``train()`` must not reach dropout and BatchNorm."""
        return super().train(False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights (names, types, shapes and bytes), in hex: the same on every device."""
        digest = hashlib.sha256()
        for name, value in self.model.state_dict().items():
            value = value.detach().cpu().contiguous()
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


def check_images(images: Tensor) -> None:
    """Refuse what cannot be a batch of images.

    Raises:
        ValueError: If the images are not (B, 3, H, W) in floating point.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            f"images must be (batch, 3, height, width), floating point in [0, 1], got {tuple(images.shape)} of "
            f"{images.dtype}"
        )


def load_backbone(
    name: str,
    weights: str = "default",
    seed: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Backbone:
    """Load a frozen backbone.

    Args:
        name: A name of the catalog; ``torchvision/NAME`` or ``timm/NAME``; a bare name outside the catalog, which is
            looked up in torchvision's classification models, then in timm; or an import path
            ``package.module:factory`` of a callable without arguments that returns an nn.Module.
        weights: "default" (the library's own, downloaded by it if need be; an import path's model as its factory gives
            it), "none" (random, drawn with ``seed``), or the path of a local .pth, .pt or .safetensors file.
        seed: Seed of whatever is random; torch's global generator stays as it is.
        mean: Mean of each of three color channels for images in [0, 1]; None for the backbone's own, which for an
            import path is ImageNet's.
        std: Standard deviation likewise.

    Returns:
        The backbone, on the CPU.

    Raises:
        ValueError: If the name is unknown, or the weights do not fit or are refused.
        FileNotFoundError: If there is no such weights file.
        WeightsUnavailableError: If the default weights cannot be downloaded.
    """
    asked = (("mean", mean), ("std", std))
    given = {what: _three(what, values) for what, values in asked if values is not None}
    with _seeded(seed):
        parts = _build(name, weights)
    own = parts.preprocessing
    preprocessing = replace(own, mean=given.get("mean", own.mean), std=given.get("std", own.std))
    # What is known of the default weights holds for no others.
    known = (parts.expected_accuracy, parts.expected_photographs) if weights == "default" else (None, None)
    return Backbone(name, parts.model, preprocessing, parts.taps, parts.num_classes, *known)


def _build(name: str, weights: str) -> Parts:
    if ":" in name:
        return build_factory(name, weights)
    library, _, bare = name.rpartition("/")
    entry = CATALOG.get(name)
    if entry is not None and entry.library == "efficientnet_lite":
        return build_efficientnet_lite(name, weights, entry)
    if library in ("", "torchvision") and bare in torchvision_names():
        return build_torchvision(bare, weights, entry)
    if library in ("", "timm") and timm.is_model(bare):
        return build_timm(bare, weights)
    candidates = [
        *CATALOG,
        *(f"torchvision/{known}" if library else known for known in torchvision_names()),
        *(f"timm/{known}" if library else known for known in timm.list_models()),
    ]
    near = list(dict.fromkeys(difflib.get_close_matches(name, candidates, n=4)))[:3]
    hint = f"; did you mean {' or '.join(repr(match) for match in near)}?" if near else ";"
    raise ValueError(f"backbone {name!r} is unknown{hint} {_FORMS.format(', '.join(CATALOG))}")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from a generator seeded with ``seed`` and put the global one back afterwards."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would seed the accelerators too, which are not restored.
        torch.default_generator.manual_seed(seed)
        yield


def _three(what: str, given: Sequence[float]) -> tuple[float, float, float]:
    if len(given) != 3 or (what == "std" and min(given) <= 0):
        positive = " positive" if what == "std" else ""
        raise ValueError(f"{what} must be three{positive} numbers, one a color channel, got {list(given)}")
    first, second, third = given
    return first, second, third

"""`python train.py layers --backbone NAME`: the layers of a backbone that can be tapped, with their shapes.

A layer can be tapped if it runs once in a forward pass and gives every image a feature map. Two images are forwarded,
through random weights unless the backbone is an import path, whose factory decides.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import yaml
from torch import Tensor, nn

from codes import STATISTICS, Backbone, code_width, load_backbone, to_maps

__all__ = ["Layer", "list_layers", "load_untrained", "main", "table"]

PROBE = 2  # images: a single one would hide an output that mixes them


class Layer(NamedTuple):
    """A layer that can be tapped.

    Attributes:
        name: dotted name within the backbone.
        kind: name of its class.
        shape: channels, rows and columns of its feature map of one image.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]

    @property
    def dimensions(self) -> int:
        """Dimensions of its code with all statistics."""
        return code_width(self.shape[0], STATISTICS)


def main(args: Sequence[str]) -> int:
    """Run the command.

    Args:
        args: the arguments after "layers".

    Returns:
        The exit code, 0.

    Raises:
        ValueError: if there is no such backbone, it does not take images of that size, or no layer can be tapped.
    """
    parser = argparse.ArgumentParser("train.py layers", description=__doc__.split("\n\n")[1], allow_abbrev=False)
    parser.add_argument("--backbone", required=True, metavar="NAME", help="as --model.backbone takes it")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side of the images (default: the backbone's own)")
    given = parser.parse_args(args)
    if given.size is not None and given.size < 1:
        raise ValueError(f"--size is {given.size}: give at least 1 pixel, or leave it out for the backbone's own size")
    backbone = load_untrained(given.backbone)
    side = given.size or backbone.preprocessing.crop
    layers = list_layers(backbone, side)
    if not layers:
        raise ValueError(
            f"backbone {backbone.name!r} has no layer that can be tapped: name a network with a module inside it that "
            "runs once and gives every image a feature map"
        )
    depths = {layer: depth for depth, layer in (backbone.taps or {}).items()}
    print(f"{backbone.name}, images of {side} x {side} pixels: {len(layers)} layers can be tapped\n")
    head = ("layer", "is a", "channels x rows x cols", "code", "default tap")
    print(table([head, *(_row(layer, depths.get(layer.name, "")) for layer in layers)]))
    chosen = [layer.name for layer in layers if layer.name in depths] or [layer.name for layer in layers[-2:]]
    taps = ", ".join(f"CL{number}: {_as_yaml(name)}" for number, name in enumerate(chosen, 1))
    print(f"\nTap them by name: --model.taps '{{{taps}}}'")
    return 0


def _as_yaml(name: str) -> str:
    """Of a layer without a name of its own, "4", YAML would make a number."""
    return name if isinstance(yaml.safe_load(name), str) else json.dumps(name)


def load_untrained(name: str) -> Backbone:
    """Load a backbone for its shapes alone: with random weights, which need no download; a factory's own as they are.

    Args:
        name: as `load_backbone` takes it.

    Raises:
        ValueError: if there is no such backbone.
    """
    return load_backbone(name, weights="default" if ":" in name else "none")


@torch.no_grad()
def list_layers(backbone: Backbone, side: int) -> list[Layer]:
    """List the layers that can be tapped, in the order in which they end.

    Args:
        backbone: the network; it stays as it is.
        side: of the images, in pixels.

    Raises:
        ValueError: if the backbone does not take images of that size.
    """
    shapes: dict[str, tuple[int, int, int]] = {}
    runs: Counter[str] = Counter()

    def note(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            runs[name] += 1
            if not isinstance(output, Tensor) or output.shape[:1] != (PROBE,):
                return
            try:
                maps = to_maps(output, (side, side), backbone.prefix_tokens, backbone.layout)
            except ValueError:  # no feature map
                return
            shapes[name] = (maps.shape[1], maps.shape[2], maps.shape[3])

        return hook

    modules = {name: module for name, module in backbone.model.named_modules() if name}
    handles = [module.register_forward_hook(note(name)) for name, module in modules.items()]
    try:
        backbone(backbone.mean.new_zeros(PROBE, 3, side, side))
    except (AssertionError, RuntimeError, TypeError) as error:
        own = backbone.preprocessing.crop
        raise ValueError(
            f"images of {side} x {side} pixels do not go through {backbone.name!r} ({error}): its own size is {own}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return [Layer(name, type(modules[name]).__name__, shape) for name, shape in shapes.items() if runs[name] == 1]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Set rows in columns, with a line below the first one.

    Example:
        >>> print(table([("layer", "code"), ("layer1", "320")]))
        layer   code
        ------------
        layer1  320
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _row(layer: Layer, depth: str) -> tuple[str, ...]:
    return layer.name, layer.kind, " x ".join(map(str, layer.shape)), f"{layer.dimensions:,}", depth

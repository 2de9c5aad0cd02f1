"""`python train.py backbones [--search WORD]`: the backbones that can be taken by name.

Those of the catalog come with cut points, listed with the shape that each gives for one image and the dimensions of its
code; any of torchvision's classification models and of timm's can be taken too, and any factory of an own package.
"""

import argparse
from collections.abc import Iterator, Sequence

import timm

from codes import CATALOG
from codes.libraries import torchvision_names
from commands.layers import list_layers, load_untrained, table

__all__ = ["main"]


def main(args: Sequence[str]) -> int:
    """Run the command.

    Args:
        args: the arguments after "backbones".

    Returns:
        The exit code, 0.

    Raises:
        ValueError: if nothing has the word in its name.
    """
    parser = argparse.ArgumentParser("train.py backbones", description=__doc__.split("\n\n")[1], allow_abbrev=False)
    parser.add_argument("--search", metavar="WORD", help="list the names of torchvision's and timm's that contain it")
    given = parser.parse_args(args)
    if given.search is not None:
        print("\n".join(_found(given.search)))
        return 0
    head = ("backbone", "from", "image", "depth", "layer", "channels x rows x cols", "code")
    print(table([head, *(row for name in CATALOG for row in _rows(name))]))
    others = f"torchvision/NAME ({len(torchvision_names())} models) and timm/NAME ({len(timm.list_models())})"
    print(f"\nAlso {others}: --search WORD lists their names.\nYour own: package.module:factory, a callable without")
    print("arguments that returns an nn.Module. `layers --backbone NAME` lists what can be tapped in any of them.")
    return 0


def _found(word: str) -> list[str]:
    names = {"torchvision": torchvision_names(), "timm": timm.list_models()}
    found = [f"{library}/{name}" for library, listed in names.items() for name in listed if word.lower() in name]
    if not found:
        raise ValueError(f"no backbone of torchvision or timm has {word!r} in its name: give a shorter part of it")
    return found


def _rows(name: str) -> Iterator[tuple[str, ...]]:
    """A row a cut point; what holds for the whole backbone stands in the first one."""
    entry = CATALOG[name]
    side = entry.preprocessing.crop
    shapes = {layer.name: layer for layer in list_layers(load_untrained(name), side)}
    first: tuple[str, ...] = (name, entry.library, f"{side} x {side}")
    for depth, tapped in entry.taps.items():
        layer = shapes[tapped]
        yield *first, depth, tapped, " x ".join(map(str, layer.shape)), f"{layer.dimensions:,}"
        first = ("", "", "")

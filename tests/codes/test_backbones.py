"""Backbones: found by name, frozen, always in eval mode, and normalising inside."""

import hashlib

import pytest
import torch
from torch import nn

from codes import Backbone, load_backbone
from codes.catalog import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from tests.codes.factories import Features

TINY = "tests.codes.factories:Tiny"


def images(batch=2, height=64, width=64):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(7))


def test_normalises_inside():
    backbone = load_backbone(TINY, "none", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    torch.testing.assert_close(backbone(images()), backbone.model((images() - mean) / std))
    assert "mean" not in backbone.state_dict()
    own = load_backbone(TINY, "none")
    assert (own.preprocessing.mean, own.preprocessing.std) == (IMAGENET_MEAN, IMAGENET_STD)


def test_is_frozen_and_stays_in_eval_mode():
    parent = nn.Sequential(load_backbone(TINY, "none"))
    backbone = parent[0]
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    for switch in (parent.train, backbone.train, backbone.model.train):
        switch()
        logits = backbone(images())
        torch.testing.assert_close(logits, backbone(images()))  # dropout is off
        assert not any(module.training for module in backbone.modules())
    assert parent.train().training
    assert not backbone.model.norm.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_convolutions_run_channels_last():
    backbone = load_backbone("resnet18", "none")
    assert backbone.model.conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_random_weights_follow_their_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = load_backbone("timm/test_vit", "none", seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert load_backbone("timm/test_vit", "none", seed=1).digest == first.digest
    assert load_backbone("timm/test_vit", "none", seed=2).digest != first.digest


def test_the_digest_is_that_of_names_types_shapes_and_bytes():
    backbone = Backbone("x", nn.Linear(2, 1), Preprocessing())
    weight, bias = backbone.model.weight, backbone.model.bias
    expected = hashlib.sha256(
        b"weight torch.float32 (1, 2)\n"
        + weight.numpy().tobytes()
        + b"bias torch.float32 (1,)\n"
        + bias.numpy().tobytes()
    )
    assert backbone.digest == expected.hexdigest()
    renamed = Backbone("x", nn.Sequential(backbone.model), Preprocessing())
    assert renamed.digest != backbone.digest


def test_the_digest_does_not_depend_on_the_memory_format():
    model = load_backbone(TINY, "none").model
    frozen = Backbone("x", model, Preprocessing())
    frozen.model.to(memory_format=torch.contiguous_format)
    assert frozen.digest == load_backbone(TINY, "none").digest


def test_a_bare_name_is_torchvisions_before_timms():
    assert type(load_backbone("mobilenet_v3_small", "none").model).__module__.startswith("torchvision")
    assert type(load_backbone("test_vit", "none").model).__module__.startswith("timm")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", "'resnet81' is unknown; did you mean 'resnet18'"),
        ("torchvision/resnt18", "did you mean 'torchvision/resnet18'"),
        ("timm/resnet18.nonsense", r"timm cannot build 'resnet18.nonsense'"),
        (
            "torchvision/test_vit",
            "allowed are a name of the catalog .resnet18, .*torchvision/NAME, timm/NAME, and an import",
        ),
        ("", "backbone '' is unknown"),
        ("nowhere.at_all:f", "cannot be imported .No module named 'nowhere'"),
        ("tests.codes.factories:absent", "cannot be imported .*'absent'"),
        (":absent", "cannot be imported"),
        ("tests.codes.factories:NOT_CALLABLE", "is a int; an import path is package.module:factory"),
        ("tests.codes.factories:needs_arguments", "needs arguments .missing a required argument: 'width'"),
        ("tests.codes.factories:no_module", "returns a str"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ValueError, match=message):
        load_backbone(name)


@pytest.mark.parametrize("options", [{"mean": (0.5, 0.5)}, {"std": (0.5, 0.0, 0.5)}])
def test_refuses_bad_normalisation(options):
    with pytest.raises(ValueError, match="must be three"):
        load_backbone(TINY, **options)


@pytest.mark.parametrize(
    "bad", [torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)]
)
def test_refuses_what_are_no_images(bad):
    with pytest.raises(ValueError, match="images must be"):
        load_backbone(TINY)(bad)


def test_refuses_an_output_without_logits():
    with pytest.raises(ValueError, match="returns a dict, not a tensor of logits"):
        load_backbone("tests.codes.factories:Untensored")(images())


def test_a_backbone_without_a_classifier_returns_its_features():
    assert Backbone("x", Features(), Preprocessing())(images(1, 5, 7)).shape == (1, 4, 3, 5)

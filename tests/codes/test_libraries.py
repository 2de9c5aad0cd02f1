"""What each library, and a user's factory, tells of its models."""

import pytest
import torch
from torch import nn
from torchvision.models import swin_t

from codes import CATALOG, load_backbone
from codes.catalog import Preprocessing
from codes.libraries import build_factory, build_timm, build_torchvision, declared_layout, torchvision_names
from tests.codes.factories import Tiny

TINY = "tests.codes.factories:Tiny"


def images(batch, height, width):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(7))


def test_torchvision_outside_the_catalog():
    backbone = load_backbone("squeezenet1_1", "none")
    assert backbone.taps is None
    assert backbone.num_classes == 1000
    assert backbone.expected_accuracy is None
    newer = load_backbone("torchvision/resnet50", "none")
    assert newer.preprocessing.resize == 232  # the second recipe's
    assert newer.taps == CATALOG["resnet50"].taps


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_auxiliary_classifiers_are_quiet(name):
    assert load_backbone(name, "none")(images(1, 96, 96)).shape == (1, 1000)


def test_timm_knows_preprocessing_and_stages():
    resnet = load_backbone("timm/test_resnet", "none")
    assert resnet.taps == {"CL1": "layer1", "CL2": "layer2", "CL3": "layer3", "CL4": "layer4"}
    assert resnet.preprocessing == Preprocessing((0.5,) * 3, (0.5,) * 3, 168, 160, "bilinear")
    vit = load_backbone("timm/vit_tiny_patch16_224", "none")
    assert vit.taps == {"CL1": "blocks.2", "CL2": "blocks.5", "CL3": "blocks.8", "CL4": "blocks.11"}
    assert vit.prefix_tokens == 1


def test_a_factory_by_import_path():
    backbone = load_backbone(TINY)
    assert isinstance(backbone.model, Tiny)
    assert backbone.num_classes == 6
    assert backbone.taps is None
    assert load_backbone("tests.codes.factories:Features").num_classes is None
    assert load_backbone("tests.codes.factories:timm_vit").prefix_tokens == 3


def test_none_re_initialises_a_factorys_model(monkeypatch):
    trained = Tiny()
    nn.init.constant_(trained.conv.weight, 5.0)
    trained.norm.running_mean.fill_(5.0)
    monkeypatch.setattr("tests.codes.factories.Tiny", lambda: trained)
    assert (load_backbone(TINY).model.conv.weight == 5).all()
    model = load_backbone(TINY, "none").model
    assert (model.conv.weight != 5).all()
    assert (model.norm.running_mean == 0).all()
    with pytest.raises(ValueError, match="cannot re-initialise 'scale'"):
        load_backbone("tests.codes.factories:Features", "none")


def test_torchvisions_names_are_those_of_classifiers():
    names = torchvision_names()
    assert {"resnet18", "vgg19", "densenet121"} <= set(names)
    assert not [name for name in names if "rcnn" in name or "deeplab" in name or "raft" in name]


def test_builders_tell_the_same_as_the_backbone():
    entry = CATALOG["resnet18"]
    parts = build_torchvision("resnet18", "none", entry)
    assert (parts.taps, parts.num_classes, parts.expected_accuracy) == (entry.taps, 1000, entry.expected_accuracy)
    assert parts.expected_photographs is None
    assert build_timm("test_resnet", "none").num_classes == 1000
    own = build_factory(TINY, "default")
    assert (own.preprocessing, own.taps, own.num_classes) == (Preprocessing(), None, 6)
    with pytest.raises(ValueError, match="cannot be imported"):
        build_factory("nowhere:model", "default")


def test_layouts_are_declared_or_channels_first():
    assert declared_layout(swin_t()) == "NHWC"
    assert declared_layout(Tiny()) == "NCHW"

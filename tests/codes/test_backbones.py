"""Backbones: found by name, frozen, always in eval mode, and normalising inside."""

import hashlib
import importlib.util
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.transforms import functional

from codes import CATALOG, Backbone, load_backbone
from codes.catalog import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from tests.codes.factories import Features, Tiny

TINY = "tests.codes.factories:Tiny"


def images(batch=2, height=64, width=64):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("name", [name for name, entry in CATALOG.items() if entry.library == "torchvision"])
def test_the_catalog_repeats_what_torchvision_publishes(name):
    entry = CATALOG[name]
    published = torchvision.models.get_model_weights(name)[entry.weights]
    assert entry.expected_accuracy == pytest.approx(published.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    wanted = published.transforms()
    assert entry.preprocessing == Preprocessing(
        tuple(wanted.mean), tuple(wanted.std), wanted.resize_size[0], wanted.crop_size[0], wanted.interpolation.value
    )


def foolbox_photographs(preprocessing):
    """The 20 ImageNet photographs in Foolbox's package, found without importing it."""
    folder = Path(importlib.util.find_spec("foolbox").submodule_search_locations[0]) / "data"
    mode = functional.InterpolationMode(preprocessing.interpolation)
    photographs, labels = [], []
    for path in sorted(folder.glob("imagenet_*.jpg")):
        with Image.open(path) as image:
            resized = functional.resize(image.convert("RGB"), preprocessing.resize, mode)
        photographs.append(functional.to_tensor(functional.center_crop(resized, preprocessing.crop)))
        labels.append(int(path.stem.rsplit("_", 1)[1]))
    return torch.stack(photographs), torch.tensor(labels)


def test_the_embedded_weights_classify_photographs():
    backbone = load_backbone("efficientnet_lite0")
    assert backbone.expected_accuracy == 0.751
    assert backbone.num_classes == 1000
    photographs, labels = foolbox_photographs(backbone.preprocessing)
    with torch.no_grad():
        correct = (backbone(photographs).argmax(dim=1) == labels).sum().item()
    assert len(labels) == 20
    assert correct >= 17


def test_normalises_inside():
    backbone = load_backbone(TINY, "none", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    torch.testing.assert_close(backbone(images()), backbone.model((images() - mean) / std))
    assert "mean" not in backbone.state_dict()
    own = load_backbone(TINY, "none")
    assert (own.preprocessing.mean, own.preprocessing.std) == (IMAGENET_MEAN, IMAGENET_STD)


def test_efficientnet_lite_sees_x_times_255_minus_127_over_128():
    backbone = load_backbone("efficientnet_lite0", "none")
    backbone.model = nn.Identity()
    torch.testing.assert_close(backbone(images()), (images() * 255 - 127) / 128)


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

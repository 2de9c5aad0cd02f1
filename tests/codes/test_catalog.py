"""The catalog repeats what the weights' publishers say, and its weights are the ones it means."""

import importlib.util
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.transforms import functional

from codes import CATALOG, load_backbone
from codes.catalog import Preprocessing


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
    assert CATALOG["efficientnet_lite0"].expected_photographs == backbone.expected_photographs == 18
    assert abs(correct - 18) <= 1, "one may turn with a CPU's rounding"
    assert load_backbone("efficientnet_lite0", "none").expected_photographs is None


def test_efficientnet_lite_sees_x_times_255_minus_127_over_128():
    backbone = load_backbone("efficientnet_lite0", "none")
    backbone.model = nn.Identity()
    images = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(backbone(images), (images * 255 - 127) / 128)


@pytest.mark.parametrize("name", CATALOG)
def test_four_cut_points_that_the_network_has(name):
    entry = CATALOG[name]
    assert list(entry.taps) == ["CL1", "CL2", "CL3", "CL4"]
    modules = [layer for layer, _ in load_backbone(name, "none").model.named_modules()]
    positions = [modules.index(layer) for layer in entry.taps.values()]
    assert positions == sorted(set(positions)), "from near the input to near the output"

"""The backbones that come with cut points: plain data, no code.

The four networks of Lee and Vijayan, arXiv 2205.10952, cut into four composite layers CL1..CL4. The paper names the
networks, not the exact cut points: these are this project's. EfficientNet-Lite0 is the backbone whose weights come with
its package, so that everything runs without a download.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Library = Literal["torchvision", "timm", "efficientnet_lite"]
Interpolation = Literal["bilinear", "bicubic"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How a backbone wants its images.

    Args:
        mean: Mean of each color channel, for images in [0, 1].
        std: Standard deviation of each color channel, for images in [0, 1].
        resize: Length in pixels of the image's shorter side before cropping.
        crop: Side in pixels of the central square that is cut out.
        interpolation: How the image is resized.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize: int = 256
    crop: int = 224
    interpolation: Interpolation = "bilinear"


@dataclass(frozen=True)
class CatalogEntry:
    """A backbone with known cut points, preprocessing and accuracy.

    Args:
        library: Where the architecture and its default weights come from.
        taps: Depth (CL1..CL4) to the dotted name of the module whose output is summarised.
        preprocessing: How the default weights want their images.
        expected_accuracy: Top-1 accuracy on ImageNet's validation set, published for the default weights, in [0, 1].
        expected_photographs: How many of the 20 embedded photographs the default weights classify correctly; a wrong
            normalisation shows in it, where the interval around an accuracy on few images still holds the published
            one. None where it was not measured.
        weights: The member of torchvision's weights enum that "default" stands for; None outside torchvision.
    """

    library: Library
    taps: Mapping[str, str]
    preprocessing: Preprocessing
    expected_accuracy: float
    weights: str | None = None
    expected_photographs: int | None = None


# The first release of each network's weights, which the paper's authors had; for ResNet50 torchvision's own default is
# a later recipe (use torchvision/resnet50 for that one). Accuracies: torchvision's table of pre-trained weights.
_V1 = "IMAGENET1K_V1"
_RESNET_TAPS = {"CL1": "layer1", "CL2": "layer2", "CL3": "layer3", "CL4": "layer4"}

CATALOG: Mapping[str, CatalogEntry] = {
    "resnet18": CatalogEntry("torchvision", _RESNET_TAPS, Preprocessing(), 0.69758, _V1),
    "resnet50": CatalogEntry("torchvision", _RESNET_TAPS, Preprocessing(), 0.76130, _V1),
    # max-pools 2 to 5
    "vgg19": CatalogEntry(
        "torchvision",
        {"CL1": "features.9", "CL2": "features.18", "CL3": "features.27", "CL4": "features.36"},
        Preprocessing(),
        0.72376,
        _V1,
    ),
    "densenet121": CatalogEntry(
        "torchvision",
        {f"CL{i}": f"features.denseblock{i}" for i in range(1, 5)},
        Preprocessing(),
        0.74434,
        _V1,
    ),
    # The last block of each of the stages at strides 8, 16 and 32, and the block at stride 4: 24, 40, 112 and 320
    # channels. Accuracy: the FP32 figure in the table of github.com/tensorflow/tpu, models/official/efficientnet/lite;
    # preprocessing (x * 255 - 127) / 128 and bicubic resizing, after the same source.
    "efficientnet_lite0": CatalogEntry(
        "efficientnet_lite",
        {"CL1": "_blocks.2", "CL2": "_blocks.4", "CL3": "_blocks.10", "CL4": "_blocks.15"},
        Preprocessing((127 / 255,) * 3, (128 / 255,) * 3, interpolation="bicubic"),
        0.751,
        expected_photographs=18,  # 15 with ImageNet's mean and standard deviation in place of its own
    ),
}

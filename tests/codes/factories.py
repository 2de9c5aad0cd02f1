"""Models that the tests name by import path."""

import timm
import torch
from torch import Tensor, nn

NOT_CALLABLE = 3


class Tiny(nn.Module):
    """Two convolutions and a classifier, with one of each trap."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Identity()
        self.pair = Pair()
        self.fc = nn.Linear(4, 6)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.norm(self.conv(images)))
        maps = self.relu(self.drop(maps))
        return self.fc(self.pair(maps)[0].mean(dim=(2, 3)))


class Pair(nn.Module):
    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        return maps, maps


class Wrapped(nn.Module):
    """A model all of whose names begin with ``model.``."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Tiny()

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


class Features(nn.Module):
    """No classifier, and a parameter that no reset_parameters reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images) * self.scale


class Untensored(Tiny):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"logits": super().forward(images)}


def needs_arguments(width: int) -> nn.Module:
    return nn.Linear(width, width)


def no_module() -> str:
    return "resnet18"


def timm_vit() -> nn.Module:
    """Three registers-and-class tokens before 2 x 4 patches."""
    return timm.create_model("vit_tiny_patch16_224", img_size=(32, 64), reg_tokens=2, depth=2)


def timm_swin() -> nn.Module:
    return timm.create_model("swin_tiny_patch4_window7_224", img_size=(64, 128), window_size=4, depths=(1, 1, 1, 1))


class Windows(nn.Module):
    """Attention in windows of 4 x 4 pixels: each becomes a sample of its own, (B * windows, 16, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 4, 5, 1).flatten(3, 4).flatten(0, 2)


class SequenceFirst(nn.Module):
    """The tokens before the images, (T, B, C), as nn.Transformer wants them by default."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.flatten(2).permute(2, 0, 1)


def sequence_first() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), SequenceFirst())


class Mixed(nn.Module):
    """Two modules whose outputs do not hold one map an image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.windows = Windows()
        self.sequence = SequenceFirst()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images)
        return self.windows(maps).sum() + self.sequence(maps).sum()


def raises_attribute_error():
    return nn.Nothing()


def raises_runtime_error():
    raise RuntimeError("two\nlines")


def raises_type_error():
    return nn.Linear()

"""Backbones that the tests name by import path."""

import torch
from torch import Tensor, nn


class Hues(nn.Module):
    """Two convolutions whose features, with the image's mean colour, decide the class.

    Red is class 0 and green class 1, where red has the larger margin; all else is told from random features.
    """

    def __init__(self, classes: int, blue: int | None = None) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(11, classes)
        with torch.no_grad():
            self.head.weight[:, 8:] = 0
            self.head.weight[:, :8] *= 0.1
            self.head.bias.zero_()
            self.head.weight[0, 8], self.head.bias[0] = 3, 1
            self.head.weight[1, 9] = 3
            if blue is not None:
                self.head.weight[blue, 10] = 3

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.second(torch.relu(self.first(images))))
        pooled = torch.cat([features.mean(dim=(2, 3)), images.mean(dim=(2, 3))], dim=1)
        return self.head(self.drop(pooled))


class Features(nn.Module):
    """No classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.first(images)


def ten_classes() -> nn.Module:
    return Hues(10, blue=7)


def imagenet_classes() -> nn.Module:
    """Blue images are told apart from none of the others: they are wrong when clean."""
    return Hues(1000)


def features() -> nn.Module:
    return Features()


class Waves(nn.Module):
    """A curved loss surface: where an attack ends depends on where it starts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.sin(4 * self.second(torch.sin(4 * self.first(images))))
        return self.head(self.drop(9 * features.mean(dim=(2, 3))))


def waves() -> nn.Module:
    return Waves()

"""Noise of exactly the size of an attack: its controls, without which a displacement says nothing.

Images are (B, 3, H, W) in [0, 1], and so is what comes back. Noise derives from (seed, sample id) alone and is the same
pattern at every budget, so that budgets compare. Uniform noise would be no control: with an attack's Linf it has
1/sqrt(3) of the L2 of random signs.
"""

from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from callbacks.attack.catalog import Norm
from callbacks.attack.foolbox_attacks import uniform

__all__ = ["CONTROLS", "Control", "MatchedNoise"]

Control = Literal["sign", "gaussian", "moved"]

# The noise of an attack's own norm. Every attack is held against Gaussian noise of the same L2 besides.
CONTROLS: dict[Norm, Control] = {"linf": "sign", "l2": "gaussian", "l1": "moved", "l0": "moved", "none": "gaussian"}
SIGNS, NORMAL, PLACES = 1, 3, 4  # independent streams of randomness


class MatchedNoise:
    """Noise for a batch of images.

    Args:
        images: (B, 3, H, W) in [0, 1].
        ids: (B,) sample ids.
        seed: with the sample id, what the noise depends on.
    """

    def __init__(self, images: Tensor, ids: Tensor, seed: int) -> None:
        self.images = images
        self.ids = ids
        self.seed = seed
        self._whole: tuple[MatchedNoise, Tensor] | None = None

    def select(self, rows: Tensor) -> "MatchedNoise":
        """The noise of some of the images, by their indices; patterns are drawn once for all of them."""
        part = MatchedNoise(self.images[rows], self.ids[rows], self.seed)
        part._whole = self, rows
        return part

    def __call__(self, control: Control, adversarial: Tensor) -> Tensor:
        """The control of adversarial images (B, 3, H, W) of these images."""
        step = (adversarial - self.images).flatten(1)
        match control:
            case "sign":
                return self.sign(step.abs().amax(1))
            case "gaussian":
                return self.gaussian(step.norm(dim=1))
            case "moved":
                return self.moved(adversarial)

    def sign(self, linf: Tensor) -> Tensor:
        """Random signs of given Linf norms (B,).

        A sign that would leave [0, 1] is turned around where the other side has room, so that clipping does not shrink
        it.
        """
        size = linf.view(-1, 1, 1, 1)
        step = torch.where(self._signs, size, -size)
        moved = self.images + step
        leaves = (moved < 0) | (moved > 1)
        return torch.where(leaves, self.images - step, moved).clamp(0, 1)

    def gaussian(self, l2: Tensor) -> Tensor:
        """Gaussian noise, scaled so that it has given L2 norms (B,) after it is clipped to [0, 1].

        With room r_i towards the bound and noise g_i, the clipped norm is sum_i min(eta |g_i|, r_i)^2; the scale eta
        follows from the set of clipped values, which only grows, so that few rounds find it (Rauber and Bethge 2020
        sort instead). Where no scale is enough, all values end at their bounds.
        """
        noise = self._normal
        room = torch.where(noise >= 0, 1 - self.images, self.images).flatten(1)
        size, wanted = noise.flatten(1).abs(), l2.double()
        limit = room / size  # the scale from which a value is clipped
        scale = wanted / size.norm(dim=1, dtype=torch.float64)
        while True:
            clipped = limit <= scale[:, None]
            lost = (room * clipped).square().sum(1, dtype=torch.float64)
            free = (size * ~clipped).square().sum(1, dtype=torch.float64)
            better = torch.where(free > 0, ((wanted.square() - lost).clamp(min=0) / free).sqrt(), scale)
            if (better <= scale * (1 + 1e-12)).all():
                break
            scale = torch.maximum(scale, better)
        step = torch.minimum(size * scale[:, None].to(size), room).view_as(noise)
        return (self.images + torch.where(noise >= 0, step, -step)).clamp(0, 1)

    def moved(self, adversarial: Tensor) -> Tensor:
        """The same changes at other, random places: equal in L0, L1, L2 and Linf, the control for sparse attacks.

        A change takes a random sign, or that which has room. Where an image has too few values with room for its
        largest change, the roomiest are taken, and changes that do not fit are clipped.
        """
        pairs = zip(self.images, adversarial, self.ids.tolist(), strict=True)
        return torch.stack([self._move(image, changed, number) for image, changed, number in pairs])

    @cached_property
    def _signs(self) -> Tensor:
        if self._whole is not None:
            return self._whole[0]._signs[self._whole[1]]
        return (uniform(self.images.shape[1:], self.ids, self.seed, SIGNS) >= 0).to(self.images.device)

    @cached_property
    def _normal(self) -> Tensor:
        if self._whole is not None:
            return self._whole[0]._normal[self._whole[1]]
        generators = (np.random.default_rng((self.seed, NORMAL, number)) for number in self.ids.tolist())
        shape = tuple(self.images.shape[1:])
        return torch.from_numpy(np.stack([g.standard_normal(shape, np.float32) for g in generators])).to(self.images)

    def _move(self, image: Tensor, changed: Tensor, number: int) -> Tensor:
        step, values = (changed - image).flatten(), image.flatten()
        changes = step[step != 0].abs().sort(descending=True).values
        if not len(changes):
            return image
        generator = np.random.default_rng((self.seed, PLACES, number))
        order = torch.from_numpy(generator.permutation(len(values))).to(image.device)
        turned = torch.from_numpy(generator.random(len(changes)) < 0.5).to(image.device)
        room = torch.maximum(values, 1 - values)[order]
        fits = room >= changes[0]
        if int(fits.sum()) >= len(changes):
            places = order[fits][: len(changes)]
        else:
            places = order[room.argsort(descending=True, stable=True)[: len(changes)]]
        up = torch.where(turned, values[places] + changes <= 1, values[places] - changes < 0)
        moved = values.clone()
        moved[places] = (values[places] + torch.where(up, changes, -changes)).clamp(0, 1)
        return moved.view_as(image)

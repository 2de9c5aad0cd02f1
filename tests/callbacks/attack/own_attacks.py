"""FGSM and PGD, written independently of Foolbox."""

import numpy as np
import torch
from torch import Tensor, nn


def reference(backbone, images, labels, ids, name, epsilon, steps, seed) -> Tensor:
    """FGSM (Goodfellow et al. 2015) and PGD (Madry et al. 2018), one image at a time."""
    found = []
    for image, label, number in zip(images, labels, ids, strict=True):
        clean = image[None]
        start = torch.zeros_like(clean)
        if name == "pgd":
            draw = np.random.default_rng((seed, 0, int(number))).random(tuple(image.shape), np.float32)
            start = epsilon * (2 * torch.from_numpy(draw) - 1)
        step = epsilon if name == "fgsm" else 2.5 * epsilon / steps
        x = (clean + start).clamp(0, 1)
        for _ in range(1 if name == "fgsm" else steps):
            x.requires_grad_()
            loss = nn.functional.cross_entropy(backbone(x), label[None])
            (gradient,) = torch.autograd.grad(loss, x)
            x = x.detach() + step * gradient.sign()
            x = torch.minimum(torch.maximum(x, clean - epsilon), clean + epsilon).clamp(0, 1)
        found.append(x.detach())
    return torch.cat(found)

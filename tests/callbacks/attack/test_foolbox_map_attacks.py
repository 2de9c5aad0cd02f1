"""Attacks on the maps: what they are to change changes on every image, and what they are to keep is kept."""

import pytest
import torch

from callbacks.attack.foolbox_attacks import run_attack
from callbacks.attack.foolbox_map_attacks import MapAttack, lead
from callbacks.attack.specs import parse_attacks
from tests.callbacks.conftest import TAPS, make_module


@pytest.fixture(scope="module")
def module():
    return make_module("ten_classes", rows=4, cols=5)


@pytest.fixture(scope="module")
def batch(module):
    images = torch.rand(6, 3, 20, 20, generator=torch.Generator().manual_seed(4)) / 4 + 0.3
    images[torch.arange(6), torch.arange(6) % 3] += 0.3
    with torch.no_grad():
        labels = module.extractor.backbone(images).argmax(1)
    return {"images": images, "labels": labels, "ids": torch.arange(6)}


def attack(module, batch, name, epsilon=60.0, **settings):
    (spec,) = parse_attacks([{"name": name, "epsilons": [epsilon]} | settings], [1], 10)

    def prepare(attack, images):
        if isinstance(attack, MapAttack):
            attack.see_maps(module, images)

    backbone = module.extractor.backbone
    with torch.inference_mode():
        return run_attack(backbone, **batch, spec=spec, epsilon=epsilon, seed=0, prepare=prepare)


def displacement(module, images, found):
    with torch.no_grad():
        clean, moved = module(images), module(found)
    return {d: module.lattice.distance(clean[d].bmu, moved[d].bmu) for d in clean}


def predictions(module, images):
    with torch.no_grad():
        return module.extractor.backbone(images).argmax(1)


def test_displacement_rises_on_every_image_at_unchanged_prediction(module, batch):
    found = attack(module, batch, "map_displacement")
    assert torch.equal(predictions(module, found), batch["labels"])
    assert (found - batch["images"]).abs().max() <= 60 / 255 + 1e-6
    moved = torch.stack(list(displacement(module, batch["images"], found).values())).mean(0)
    noise = batch["images"] + 60 / 255 * torch.randn(6, 3, 20, 20, generator=torch.Generator().manual_seed(1)).sign()
    by_noise = torch.stack(list(displacement(module, batch["images"], noise.clamp(0, 1)).values())).mean(0)
    assert (moved > 0).all()
    assert (moved >= by_noise).all()
    assert moved.mean() > by_noise.mean()


def test_displacement_at_chosen_depths(module, batch):
    one = attack(module, batch, "map_displacement", init_args={"depths": ["CL2"]})
    assert (displacement(module, batch["images"], one)["CL2"] > 2).all(), "of 2.83, half-way round both axes"
    with pytest.raises(ValueError, match="attack depth 'CL9' is unknown: there are CL1, CL2"):
        attack(module, batch, "map_displacement", init_args={"depths": ["CL9"]})


def test_the_adaptive_attack_fools_as_pgd_does_and_moves_codes_less(module, batch):
    epsilon = 80.0
    adaptive, pgd = (attack(module, batch, name, epsilon) for name in ("adaptive", "pgd"))
    fooled = predictions(module, adaptive) != batch["labels"]
    assert fooled.sum() >= (predictions(module, pgd) != batch["labels"]).sum() > 3
    with torch.no_grad():
        codes = [module.extractor(images).codes for images in (batch["images"], adaptive, pgd)]
    for depth in TAPS:
        clean, ours, theirs = (module.maps[depth].encode(each[depth]) for each in codes)
        assert (ours - clean)[fooled].norm(dim=1).mean() < (theirs - clean)[fooled].norm(dim=1).mean(), depth
    moved = {name: displacement(module, batch["images"], found) for name, found in (("a", adaptive), ("p", pgd))}
    for depth in TAPS:
        assert moved["a"][depth].sum() <= moved["p"][depth].sum()


def test_taps_and_gradients_are_gone_afterwards(module, batch):
    attack(module, batch, "adaptive")
    assert not any(part._forward_hooks for part in module.modules())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_lead_is_differentiable_and_signed():
    logits = torch.tensor([[2.0, 1.0, 5.0], [3.0, 1.0, 0.0]], requires_grad=True)
    found = lead(logits, torch.tensor([2, 1]))
    assert found.tolist() == [3.0, -2.0]
    found.sum().backward()
    assert logits.grad.tolist() == [[-1.0, 0.0, 1.0], [-1.0, 1.0, 0.0]]

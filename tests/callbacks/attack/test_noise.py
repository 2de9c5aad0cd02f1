"""Controls have exactly the norms of the attack, lie within the pixels' range, and depend on ids alone."""

import pytest
import torch
from torch import Tensor

from callbacks.attack.noise import CONTROLS, MatchedNoise

SEED = 3


@pytest.fixture
def batch() -> dict[str, Tensor]:
    """Five images with values at both bounds."""
    images = torch.rand(5, 3, 15, 19, generator=torch.Generator().manual_seed(0))
    images[:, :, 0] = 0
    images[:, :, :, 0] = 1
    return {"images": images, "ids": torch.tensor([7, 3, 11, 0, 5])}


def noise(batch, seed=SEED) -> MatchedNoise:
    return MatchedNoise(batch["images"], batch["ids"], seed)


def adversarial(images: Tensor, largest: float) -> Tensor:
    """Changes that fill a quarter of the values, clipped to the pixels' range."""
    generator = torch.Generator().manual_seed(1)
    step = largest * (2 * torch.rand(images.shape, generator=generator) - 1)
    return (images + step * (torch.rand(images.shape, generator=generator) < 0.25)).clamp(0, 1)


def norms(step: Tensor) -> dict[str, Tensor]:
    flat = step.double().flatten(1)
    return {"linf": flat.abs().amax(1), "l2": flat.norm(dim=1), "l1": flat.abs().sum(1), "l0": (flat != 0).sum(1)}


@pytest.mark.parametrize("largest", [1 / 16 / 255, 8 / 255, 0.3])
@pytest.mark.parametrize(
    ("norm", "equal"), [("linf", ["linf"]), ("l2", ["l2"]), ("l1", ["l1", "l2", "linf"]), ("l0", ["l1", "l2", "linf"])]
)
def test_the_control_of_each_norm_has_that_norm(batch, largest, norm, equal):
    changed = adversarial(batch["images"], largest)
    control = noise(batch)(CONTROLS[norm], changed)
    assert control.min() >= 0
    assert control.max() <= 1
    expected, got = norms(changed - batch["images"]), norms(control - batch["images"])
    for name in equal:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-5, atol=1e-5, msg=name)
    if norm in ("l1", "l0"):  # rounding may take a tiny change to nothing
        torch.testing.assert_close(got["l0"], expected["l0"], rtol=0.02, atol=0)
    assert not torch.equal(control, changed)


@pytest.mark.parametrize("sizes", [[0.0, 0.001, 0.02, 0.3, 0.5], [0.05] * 5])
def test_signs_fill_every_value(batch, sizes):
    linf = torch.tensor(sizes)
    moved = (noise(batch).sign(linf) - batch["images"]).abs().flatten(1)
    torch.testing.assert_close(moved.amax(1), linf, rtol=0, atol=1e-6)
    # Up to half the range one of the two sides always has room.
    torch.testing.assert_close(moved.amin(1), linf, rtol=0, atol=1e-6)


def test_signs_beyond_half_the_range_stay_inside():
    images = torch.full((1, 3, 4, 5), 0.5)
    images[0, 1, 2, 3] = 0.1
    noisy = MatchedNoise(images, torch.tensor([2]), SEED).sign(torch.tensor([0.9]))
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert float((noisy - images).abs().max()) == pytest.approx(0.9, abs=1e-6)


def test_gaussian_noise_is_scaled_for_its_clipping(batch):
    """Against bisection: half of the images are black, where half of the noise is cut off."""
    images = batch["images"]
    images[:, :, 5:] = 0
    wanted = torch.tensor([0.01, 0.5, 2.0, 8.0, 15.0])
    noisy = noise(batch).gaussian(wanted)
    pattern = noise(batch)._normal
    for row in range(5):
        low, high = 0.0, 1e3
        for _ in range(200):
            scale = (low + high) / 2
            clipped = (images[row].double() + scale * pattern[row].double()).clamp(0, 1)
            longer = float((clipped - images[row].double()).norm()) > float(wanted[row])
            low, high = (low, scale) if longer else (scale, high)
        torch.testing.assert_close(noisy[row], clipped.float(), rtol=0, atol=1e-5)
    torch.testing.assert_close((noisy - images).flatten(1).norm(dim=1), wanted, rtol=1e-5, atol=1e-6)


def test_gaussian_noise_beyond_the_range_ends_at_the_bounds(batch):
    noisy = noise(batch).gaussian(torch.full((5,), 1e3))
    assert ((noisy == 0) | (noisy == 1)).all()
    assert torch.equal(noise(batch).gaussian(torch.zeros(5)), batch["images"])


def test_moved_changes_go_to_other_places(batch):
    images = batch["images"]
    changed = images.clone()
    changed[:, 1, 3, 4] = torch.where(images[:, 1, 3, 4] < 0.5, 1.0, 0.0)  # one value, by more than half the range
    changed[0] = images[0]
    control = noise(batch)("moved", changed)
    assert torch.equal(control[0], images[0]), "nothing to move"
    places = (control - images).flatten(1).abs().argmax(1)
    assert len(set(places[1:].tolist())) == 4
    torch.testing.assert_close(norms(control - images)["linf"], norms(changed - images)["linf"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("control", ["sign", "gaussian", "moved"])
def test_noise_depends_on_seed_and_id_alone(batch, control):
    images, ids = batch["images"], batch["ids"]
    changed = adversarial(images, 0.02)
    state = torch.get_rng_state()
    noisy = noise(batch)(control, changed)
    assert torch.equal(torch.get_rng_state(), state)
    backwards = MatchedNoise(images.flip(0), ids.flip(0), SEED)(control, changed.flip(0)).flip(0)
    torch.testing.assert_close(backwards, noisy, rtol=0, atol=0)
    rows = torch.tensor([3, 1])
    assert torch.equal(noise(batch).select(rows)(control, changed[rows]), noisy[rows])
    assert torch.equal(MatchedNoise(images[rows], ids[rows], SEED)(control, changed[rows]), noisy[rows])
    assert not torch.equal(noise(batch, SEED + 1)(control, changed), noisy)
    assert not torch.equal(MatchedNoise(images, ids + 1, SEED)(control, changed), noisy)


def test_signs_are_fair_and_differ_between_images(batch):
    grey = torch.full((5, 3, 15, 19), 0.5)
    signs = (MatchedNoise(grey, batch["ids"], SEED).sign(torch.full((5,), 0.02)) - grey).sign()
    assert (signs != 0).all()
    assert signs.mean().abs() < 0.05
    assert not torch.equal(signs[0], signs[1])

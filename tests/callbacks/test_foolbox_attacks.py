import numpy as np
import pytest
import torch
from torch import Tensor, nn

from callbacks.attack_specs import parse_attacks
from callbacks.foolbox_attacks import run_attack
from codes import load_backbone

EPSILON = 4 / 255
SEED = 3


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("tests.callbacks.factories:waves")


@pytest.fixture
def batch(backbone) -> dict[str, Tensor]:
    """Five images with values at both bounds; the two convolutions see each of their pixels."""
    images = torch.rand(5, 3, 15, 19, generator=torch.Generator().manual_seed(0))
    images[:, :, 0] = 0
    images[:, :, :, 0] = 1
    with torch.no_grad():
        labels = backbone(images).argmax(1)
    return {"images": images, "labels": labels, "ids": torch.tensor([7, 3, 11, 0, 5])}


def attack(backbone, batch, name="fgsm", epsilon=EPSILON, steps=4, seed=SEED) -> Tensor:
    (spec,) = parse_attacks([name], [255 * epsilon], steps)
    return run_attack(backbone, **batch, spec=spec, epsilon=spec.budgets[0], seed=seed)


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


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
@pytest.mark.parametrize("epsilon", [1 / 255, 0.2])
def test_agrees_with_an_own_reference(backbone, batch, name, epsilon):
    expected = reference(backbone, *batch.values(), name, epsilon, 4, SEED)
    torch.testing.assert_close(attack(backbone, batch, name, epsilon), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad])
def test_works_in_evaluation_loops(backbone, batch, name, context):
    with context():
        inside = {key: value.clone() for key, value in batch.items()}
        assert inside["images"].is_inference() == (context is torch.inference_mode)
        found = attack(backbone, inside, name)
    assert not found.requires_grad
    assert not found.is_inference()
    torch.testing.assert_close(found, attack(backbone, batch, name), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
@pytest.mark.parametrize("epsilon", [1 / 16 / 255, EPSILON, 0.2])
def test_budget_is_in_pixel_units(backbone, batch, name, epsilon):
    found = attack(backbone, batch, name, epsilon)
    difference = (found - batch["images"]).abs()
    assert found.min() >= 0
    assert found.max() <= 1
    assert difference.max() <= epsilon + 1e-6
    if name == "fgsm":
        inside = (batch["images"] > epsilon) & (batch["images"] < 1 - epsilon)
        moved = difference[inside]
        assert len(moved) > 1000
        torch.testing.assert_close(moved, torch.full_like(moved, epsilon), rtol=0, atol=1e-6)


def test_the_loss_rises(backbone, batch):
    def loss(images: Tensor) -> float:
        with torch.no_grad():
            return float(nn.functional.cross_entropy(backbone(images), batch["labels"]))

    clean = loss(batch["images"])
    assert loss(attack(backbone, batch, "fgsm", 0.1)) > clean
    assert loss(attack(backbone, batch, "pgd", 0.1)) > clean


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_batch_and_order_do_not_matter(backbone, batch, name):
    whole = attack(backbone, batch, name)
    backwards = attack(backbone, {key: value.flip(0) for key, value in batch.items()}, name).flip(0)
    single = [
        attack(backbone, {key: value[k : k + 1] for key, value in batch.items()}, name)
        for k in range(len(batch["ids"]))
    ]
    torch.testing.assert_close(backwards, whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.cat(single), whole, rtol=0, atol=1e-6)


def test_starts_depend_on_seed_and_id_alone(backbone, batch):
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = attack(backbone, batch, "pgd")
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        assert torch.equal(attack(backbone, batch, "pgd"), first)
    assert not torch.equal(attack(backbone, batch, "pgd", seed=SEED + 1), first)
    assert not torch.equal(attack(backbone, batch | {"ids": batch["ids"] + 1}, "pgd"), first)
    assert torch.equal(attack(backbone, batch, "fgsm", seed=SEED + 1), attack(backbone, batch, "fgsm"))


def test_leaves_nothing_behind(backbone, batch):
    before = {key: value.clone() for key, value in batch.items()}
    weights = {key: value.clone() for key, value in backbone.state_dict().items()}
    for name in ("fgsm", "pgd"):
        attack(backbone, batch, name)
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert all(torch.equal(value, weights[key]) for key, value in backbone.state_dict().items())
    assert all(torch.equal(value, before[key]) for key, value in batch.items())
    assert batch["images"].grad is None
    assert not batch["images"].requires_grad
    assert not any(module._forward_hooks for module in backbone.modules())


def test_training_mode_is_refused(batch):
    backbone = load_backbone("tests.callbacks.factories:waves")
    backbone.model.drop.train()
    with pytest.raises(RuntimeError, match=r"'model\.drop' is in training mode: attacks need all of it in eval mode"):
        attack(backbone, batch)
    with pytest.raises(RuntimeError, match="'the backbone' is in training mode"):
        attack(nn.Sequential(nn.Flatten(), nn.Linear(855, 10)), batch)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_float32_whatever_the_precision(backbone, batch, name):
    expected = attack(backbone, batch, name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attack(backbone, batch, name)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)

import pytest
import torch

from callbacks.attack.foolbox_attacks import run_attack
from callbacks.attack.specs import parse_attacks
from codes import load_backbone

pytest.importorskip("pyautoattack", reason="pip install somscope[autoattack]")


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("tests.callbacks.factories:waves")


@pytest.fixture(scope="module")
def batch(backbone):
    images = torch.rand(3, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = backbone(images).argmax(1)
    return {"images": images, "labels": labels, "ids": torch.tensor([7, 3, 11])}


def attack(backbone, batch, epsilon=2.0, attacks=("apgd-ce",), seed=3, **settings):
    init_args = {"version": "custom", "attacks": list(attacks)}
    (spec,) = parse_attacks([{"name": "autoattack", "init_args": init_args, "epsilons": [epsilon]} | settings], [1], 3)
    return run_attack(backbone, **batch, spec=spec, epsilon=epsilon, seed=seed)


@pytest.mark.parametrize(("norm", "epsilon", "order"), [("linf", 2.0, torch.inf), ("l2", 0.3, 2)])
def test_it_fools_within_the_budget(backbone, batch, norm, epsilon, order):
    found = attack(backbone, batch, epsilon, norm=norm)
    with torch.no_grad():
        assert (backbone(found).argmax(1) != batch["labels"]).all()
    limit = epsilon / 255 if norm == "linf" else epsilon
    assert (found - batch["images"]).flatten(1).norm(p=order, dim=1).max() <= limit + 1e-6
    assert not any(parameter.grad is not None for parameter in backbone.parameters())


def test_batch_and_order_do_not_matter(backbone, batch):
    whole = attack(backbone, batch)
    backwards = attack(backbone, {key: value.flip(0) for key, value in batch.items()}).flip(0)
    assert torch.equal(backwards, whole)
    assert not torch.equal(attack(backbone, batch, seed=4), whole)


def test_settings_are_checked():
    for init_args, message in (
        ({"version": "custom"}, "version 'custom' needs 'attacks'"),
        ({"attacks": ["square"]}, "no other version takes them"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_attacks([{"name": "autoattack", "init_args": init_args}], [1], 3)
    with pytest.raises(ValueError, match="cannot be aimed at a class"):
        parse_attacks([{"name": "autoattack", "target": "random"}], [1], 3)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'it is not installed: pip install "somscope\[autoattack\]"'):
        parse_attacks(["autoattack"], [1], 3)

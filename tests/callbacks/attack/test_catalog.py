"""The catalog, against Foolbox: every class is there, and what an entry says of it holds."""

import inspect

import pytest
import torch

from callbacks.attack.catalog import CATALOG
from callbacks.attack.foolbox_attacks import run_attack
from callbacks.attack.foolbox_library import find_class, kind_of, norm_of
from callbacks.attack.foolbox_map_attacks import MapAttack
from callbacks.attack.specs import parse_attacks
from tests.callbacks.conftest import make_module

MODULE = make_module("ten_classes")


@pytest.fixture(scope="module")
def backbone():
    return MODULE.extractor.backbone


@pytest.fixture(scope="module")
def batch(backbone):
    """Images near the boundaries between three hues, with black and white among their pixels."""
    images = torch.rand(4, 3, 9, 11, generator=torch.Generator().manual_seed(0)) / 4 + 0.3
    images[torch.arange(4), torch.tensor([0, 1, 2, 0])] += 0.1
    images[:, :, 0, 0], images[:, :, 1, 1] = 0, 1
    with torch.no_grad():
        labels = backbone(images).argmax(1)
    return {"images": images, "labels": labels, "ids": torch.tensor([7, 3, 11, 5])}


def spec_of(name):
    quick = {"boundary": {"steps": 60}, "hopskipjump": {"steps": 2}, "cw_l2": {"steps": 20}, "ead": {"steps": 20}}
    return parse_attacks([{"name": name} | quick.get(name, {})], [40, 250], 5)[0]


def prepare(attack, images):
    if isinstance(attack, MapAttack):
        attack.see_maps(MODULE, images)


def attack(name, backbone, batch, **settings):
    spec = spec_of(name)
    return run_attack(
        backbone, **batch, spec=spec, epsilon=spec.budgets[-1], prepare=prepare, **({"seed": 3} | settings)
    )


@pytest.mark.parametrize("name", CATALOG)
def test_entries_are_true_of_foolbox(name):
    entry = CATALOG[name]
    for norm, path in entry.classes.items():
        found = find_class(path)
        assert kind_of(found) == entry.kind
        assert norm_of(found) in (norm, None) or "constraint" in inspect.signature(found).parameters
        known = inspect.signature(found).parameters
        assert entry.steps == 0 or entry.steps_argument in known
        assert entry.stepsize is None or "rel_stepsize" in known
        assert set(entry.settings) <= set(known)
        if "random_start" in known:
            assert known["random_start"].default == entry.random_start


@pytest.mark.parametrize("name", CATALOG)
def test_batch_order_and_global_seeds_do_not_matter(name, backbone, batch):
    """Every attack of the catalog: also those that draw from global generators, or stop by the loss of the batch."""
    whole = attack(name, backbone, batch)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        backwards = attack(name, backbone, {key: value.flip(0) for key, value in batch.items()}).flip(0)
    single = [attack(name, backbone, {key: value[k : k + 1] for key, value in batch.items()}) for k in range(4)]
    for other in (backwards, torch.cat(single)):
        torch.testing.assert_close(other, whole, rtol=0, atol=1e-5)
    assert whole.min() >= 0
    assert whole.max() <= 1


# The spatial attack draws nothing, and AutoAttack ends in the same corners of this network wherever it starts.
DRAWING = [name for name, entry in CATALOG.items() if entry.alone and name not in ("spatial", "autoattack")]


@pytest.mark.parametrize("name", DRAWING)
def test_what_draws_depends_on_seed_and_id(name, backbone, batch):
    state = torch.get_rng_state()
    whole = attack(name, backbone, batch)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(attack(name, backbone, batch, seed=4), whole)
    assert not torch.equal(attack(name, backbone, batch | {"ids": batch["ids"] + 1}), whole)


@pytest.mark.parametrize("name", [name for name, entry in CATALOG.items() if entry.kind == "bounded"])
def test_budgets_are_kept(name, backbone, batch):
    spec = spec_of(name)
    for epsilon in spec.budgets:
        found = run_attack(backbone, **batch, spec=spec, epsilon=epsilon, seed=3, prepare=prepare)
        step = (found - batch["images"]).double().flatten(1)
        order = {"linf": float("inf"), "l2": 2, "l1": 1}[spec.norm]
        assert step.norm(p=order, dim=1).max() <= spec.pixels(epsilon) * (1 + 1e-6) + 1e-6


@pytest.mark.parametrize("name", [name for name, entry in CATALOG.items() if entry.targeted])
def test_what_can_be_aimed_reaches_a_class(name, backbone, batch):
    steps = {"steps": 40} if CATALOG[name].steps != 0 else {}
    (spec,) = parse_attacks([{"name": name, "target": "random"} | steps], [200], 40)
    targets = torch.where(batch["labels"] == 0, 7, 0)
    epsilon = {"linf": 200, "l2": 9, "l1": 150}.get(spec.norm) if spec.kind == "bounded" else None
    found = run_attack(backbone, **batch, spec=spec, epsilon=epsilon, seed=3, targets=targets)
    with torch.no_grad():
        reached = backbone(found).argmax(1) == targets
    assert reached.all() or name == "spatial", "turning an image does not change its hue"

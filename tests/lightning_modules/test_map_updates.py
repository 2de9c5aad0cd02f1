import math

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback

from lightning_modules.map_updates import MapUpdate
from som import SelfOrganizingMap
from tests.lightning_modules.recording import Recorder
from tests.som import reference
from tests.tiny import TAPS, make_data, make_model, make_trainer, prototypes

SIGMA = 1.3


class AtValidation(Callback):
    """The prototypes that each validation measures."""

    def __init__(self):
        self.seen = []

    def on_validation_start(self, trainer, pl_module):
        self.seen.append(prototypes(pl_module))


@pytest.fixture
def tree(make_tree):
    """18 training images: 4 batches of 4, and a remainder of 2 that is left out."""
    return make_tree({"train": 6, "val": 2})


def encoded(steps, first_epoch, depth, standardise):
    """Each step's codes in float64; the statistics are those of the first epoch, from which the maps started."""
    codes = [step["codes"][depth].double() for step in steps]
    if not standardise:
        return codes
    seen = torch.cat([step["codes"][depth] for step in first_epoch]).double().numpy()
    spread = seen.std(0)
    scale = torch.from_numpy(np.where(spread == 0, 1, spread))
    return [(each - torch.from_numpy(seen.mean(0))) / scale for each in codes]


def sums(codes, before, sigma, rows, cols, topology):
    """Numerator (K, D) and denominator (K,) in float64 loops."""
    bmu, *_ = reference.winners(codes, before)
    h = reference.weights(bmu, rows, cols, topology, sigma)
    numerator, denominator = torch.zeros_like(before), torch.zeros(len(before), dtype=torch.float64)
    for k in range(len(before)):
        for b in range(len(codes)):
            numerator[k] += h[b, k] * codes[b]
            denominator[k] += h[b, k]
    return numerator, denominator


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("topology", ["torus", "plane"])
def test_an_epoch_of_rule_batch_ends_with_the_batch_map(tree, tmp_path, topology, standardise):
    model = make_model(rule="batch", topology=topology, standardise=standardise, schedule="exponential")
    recorder, validation = Recorder(), AtValidation()
    make_trainer(tmp_path, recorder, validation, max_epochs=3).fit(model, datamodule=make_data(tree))
    assert len(recorder.steps) == 12
    assert len(validation.seen) == 3
    for epoch in range(3):
        steps = recorder.steps[4 * epoch : 4 * epoch + 4]
        sigma = 2.0 * math.exp((4 * epoch + 3) / 12 * math.log(0.7 / 2.0))  # of the epoch's last batch
        assert steps[-1]["sigma"] == pytest.approx(sigma, rel=1e-6)
        for depth in TAPS:
            before = steps[0]["before"][depth].double()
            codes = torch.cat(encoded(steps, recorder.steps[:4], depth, standardise))
            assert len(codes) == 16
            numerator, denominator = sums(codes, before, sigma, 3, 4, topology)
            expected = numerator / denominator[:, None]
            torch.testing.assert_close(steps[-1]["after"][depth].double(), expected, rtol=1e-5, atol=1e-5)
            assert all(torch.equal(step["before"][depth], steps[0]["before"][depth]) for step in steps)
            assert not torch.allclose(steps[-1]["after"][depth], steps[0]["before"][depth], atol=1e-3)
            assert torch.equal(validation.seen[epoch][depth], steps[-1]["after"][depth]), "updated before it"
    assert model.trainer.global_step == 12
    assert model.samples_seen == model.samples_planned == 48


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("topology", ["torus", "plane"])
def test_every_step_of_rule_ema_is_a_ratio_of_moving_averages(tree, tmp_path, topology, standardise):
    model = make_model(rule="ema", topology=topology, standardise=standardise, alpha=(0.9, 0.3), schedule="linear")
    recorder, validation = Recorder(), AtValidation()
    make_trainer(tmp_path, recorder, validation).fit(model, datamodule=make_data(tree))
    assert len(recorder.steps) == 8
    for depth in TAPS:
        averages = torch.zeros(12, model.extractor.dimensions[depth], dtype=torch.float64), torch.zeros(12).double()
        batches = encoded(recorder.steps, recorder.steps[:4], depth, standardise)
        for number, (step, codes) in enumerate(zip(recorder.steps, batches, strict=True)):
            alpha, sigma = 0.9 - 0.6 * number / 8, 2.0 - 1.3 * number / 8
            assert step["logged_alpha"] == pytest.approx(alpha, rel=1e-6)
            parts = sums(codes, step["before"][depth].double(), sigma, 3, 4, topology)
            averages = tuple((1 - alpha) * a + alpha * part / 4 for a, part in zip(averages, parts, strict=True))
            expected = averages[0] / averages[1][:, None]
            torch.testing.assert_close(step["after"][depth].double(), expected, rtol=1e-5, atol=1e-5)
            assert not torch.equal(step["after"][depth], step["before"][depth])
        assert torch.equal(validation.seen[0][depth], recorder.steps[3]["after"][depth])
    assert model.trainer.global_step == 8
    assert model.samples_seen == model.samples_planned == 32


@pytest.mark.parametrize("limit", [2, 0.7])
def test_an_epoch_that_is_cut_short_ends_with_an_update_too(tree, tmp_path, limit):
    recorder = Recorder()
    trainer = make_trainer(tmp_path, recorder, limit_train_batches=limit)
    trainer.fit(make_model(rule="batch"), datamodule=make_data(tree))
    moved = [not torch.equal(step["before"]["CL1"], step["after"]["CL1"]) for step in recorder.steps]
    assert moved == [False, True] * 2


def test_no_gradient_is_taken(tree, tmp_path):
    for rule in ("batch", "ema"):
        model = make_model(rule=rule)
        make_trainer(tmp_path).fit(model, datamodule=make_data(tree))
        assert all(som.prototypes.grad is None for som in model.maps.values())


def ready(distance="euclidean"):
    generator = torch.Generator().manual_seed(0)
    som = SelfOrganizingMap(2, 3, 5, distance=distance)
    codes = torch.randn(24, 5, generator=generator) * 3 + 100
    som.initialise(codes, generator=generator)
    return som, codes


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("rule", ["batch", "ema"])
def test_mixed_precision_changes_nothing(rule, distance):
    ends = []
    for mixed in (False, True):
        som, codes = ready(distance)
        update = MapUpdate(som, rule)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            for part in (codes[:16], codes[16:]):
                update.step(som, part, som(part).bmu, SIGMA, 0.5, last=len(part) == 8)
        ends.append(som.prototypes.detach().clone())
    assert torch.equal(*ends)
    if distance == "cosine":
        torch.testing.assert_close(ends[0].norm(dim=1), torch.ones(6))


def test_batches_of_an_epoch_add_up_and_the_next_starts_anew():
    whole, codes = ready()
    parts, _ = ready()
    update = MapUpdate(parts, "batch")
    start = parts.prototypes.detach().clone()
    for _ in range(2):
        MapUpdate(whole, "batch").step(whole, codes, whole(codes).bmu, SIGMA, 1.0, last=True)
        before = parts.prototypes.detach().clone()
        for first, size in ((0, 10), (10, 10), (20, 4)):  # a short last batch counts by its codes
            assert torch.equal(parts.prototypes, before)
            part = codes[first : first + size]
            update.step(parts, part, parts(part).bmu, SIGMA, 1.0, last=first == 20)
        torch.testing.assert_close(parts.prototypes, whole.prototypes, rtol=1e-6, atol=1e-4)
        assert not torch.equal(parts.prototypes, start)


def test_an_average_with_the_whole_weight_on_the_batch_is_the_batch_map():
    ends = []
    for rule in ("batch", "ema"):
        som, codes = ready()
        MapUpdate(som, rule).step(som, codes, som(codes).bmu, SIGMA, 1.0, last=True)
        ends.append(som.prototypes.detach())
    torch.testing.assert_close(*ends, rtol=1e-6, atol=0)


def test_units_that_no_code_reaches_stay():
    for rule in ("batch", "ema"):
        som, codes = ready()
        before = som.prototypes.detach().clone()
        MapUpdate(som, rule).step(som, codes[:1], torch.tensor([4]), 0.01, 0.5, last=True)
        torch.testing.assert_close(som.prototypes[4], codes[0], rtol=1e-6, atol=0)
        others = torch.arange(6) != 4
        assert torch.equal(som.prototypes[others], before[others])


@pytest.mark.parametrize(
    ("rule", "names"),
    [("batch", {"total.total", "total.counts"}), ("ema", {"average.numerator", "average.denominator"})],
)
def test_what_an_update_remembers_travels_in_its_state(rule, names):
    som, codes = ready()
    update = MapUpdate(som, rule)
    update.step(som, codes[:16], som(codes[:16]).bmu, SIGMA, 0.5, last=False)
    assert update.state_dict().keys() == names
    assert not list(update.parameters()), "nothing for an optimizer"
    other_som, _ = ready()
    other_som.load_state_dict(som.state_dict())
    other = MapUpdate(other_som, rule)
    other.load_state_dict(update.state_dict())
    for each, owner in ((update, som), (other, other_som)):
        each.step(owner, codes[16:], owner(codes[16:]).bmu, SIGMA, 0.5, last=True)
    assert torch.equal(som.prototypes, other_som.prototypes)

import warnings

import pytest
import torch
from torch.utils.data import DataLoader

from som import SOM
from som.fitting import seeded
from tests.som import reference
from tests.som.test_batch_fit import blobs

RULES = {"gradient": {"alpha": (0.7, 0.2)}, "ema": {"alpha": (0.5, 0.2)}}


def make(**options):
    options = {"sigma": (1.6, 0.4), "epochs": 2, "batch_size": 23, "random_state": 0, "schedule": "linear"} | options
    return SOM(3, 5, **options)


def schedule(som, samples, start, end):
    """The value at every batch, linear in the samples seen."""
    firsts = range(0, samples, som.batch_size)
    progress = [(epoch + first / samples) / som.epochs for epoch in range(som.epochs) for first in firsts]
    return [start + (end - start) * p for p in progress]


def run(codes, start, rule, **options):
    som = make(rule=rule, init=start, shuffle=False, **RULES[rule], **options).fit(codes)
    batches = [list(part) for part in torch.arange(len(codes)).split(som.batch_size)] * som.epochs
    sigmas, alphas = (schedule(som, len(codes), *ends) for ends in (som.sigma, som.alpha))
    expected = reference.fit(
        codes,
        start,
        3,
        5,
        rule=rule,
        sigmas=sigmas,
        alphas=alphas,
        batches=batches,
        topology=som.topology,
        kind=som.neighbourhood,
    )
    return torch.tensor(som.prototypes_).double(), expected


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("batch_size", [5, 23])  # below and above rows + cols
@pytest.mark.parametrize("kind", ["gaussian", "wrapped_gaussian", "bubble"])
def test_epochs_match_loops(rule, kind, batch_size, deterministic):
    # Of codes that all lie in one row of units, the means of all rows are the same, and rounding would choose.
    codes, start = blobs(60, 3), blobs(15, 3)[torch.arange(15) * 7 % 15]
    found, expected = run(
        codes, start, rule, neighbourhood=kind, batch_size=batch_size, deterministic=deterministic, topology="torus"
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_offsets_and_planes(rule, offset):
    found, expected = run(blobs(60, 3, offset), blobs(15, 3, offset), rule, topology="plane")
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=2e-3 if offset else 2e-5)


def test_an_average_that_forgets_everything_over_all_codes_is_the_batch_rule():
    codes = blobs(60, 3)
    one = make(rule="ema", alpha=(1.0, 1.0), batch_size=60, epochs=3).fit(codes)
    other = make(rule="batch", epochs=3).fit(codes)
    torch.testing.assert_close(one.prototypes_, other.prototypes_, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_units_out_of_reach_keep_their_prototype(rule):
    codes, start = torch.zeros(4, 2), reference.draw(15, 2)
    start[7] = 0
    som = make(rule=rule, neighbourhood="bubble", sigma=(0.5, 0.5), init=start).fit(codes)
    assert torch.equal(torch.tensor(som.prototypes_), start)


@pytest.mark.parametrize("shuffle", [False, True])
def test_shuffling_draws_every_epoch_anew_from_the_seed_alone(shuffle, monkeypatch):
    orders = []
    monkeypatch.setattr("som.minibatch_fit.seeded", lambda *numbers: orders.append(numbers) or seeded(*numbers))
    one, two = (make(rule="gradient", shuffle=shuffle).fit(blobs(60, 3)) for _ in range(2))
    assert (one.prototypes_ == two.prototypes_).all()
    assert len(set(orders)) == (2 if shuffle else 0)
    other = make(rule="gradient", shuffle=shuffle, random_state=1, init=one.prototypes_).fit(blobs(60, 3))
    same = make(rule="gradient", shuffle=shuffle, random_state=0, init=one.prototypes_).fit(blobs(60, 3))
    assert (other.prototypes_ == same.prototypes_).all() != shuffle


def test_heskes_steps_match_loops():
    codes, start = blobs(60, 3), blobs(15, 3)
    som = make(rule="gradient", winner="heskes", init=start, shuffle=False, alpha=(0.5, 0.5), epochs=1).fit(codes)
    moved = start.double()
    for part, sigma in zip(codes.split(23), schedule(som, 60, 1.6, 0.4), strict=True):
        full = reference.table(3, 5, "torus", sigma, "wrapped_gaussian")
        bmu = reference.unit_energies(part, moved, full).argmin(1)
        moved = reference.gradient_step(moved, part, full[bmu], 0.5)
    torch.testing.assert_close(torch.tensor(som.prototypes_).double(), moved, rtol=1e-5, atol=2e-5)


def test_soft_steps_match_loops():
    codes, start = blobs(60, 3) / 8, blobs(15, 3) / 8
    som = make(rule="gradient", winner="soft", init=start, shuffle=False, alpha=(0.5, 0.5), epochs=1).fit(codes)
    moved, squared = start.double(), 0.0
    for part, sigma in zip(codes.split(23), schedule(som, 60, 1.6, 0.4), strict=True):
        squared += reference.winners(part, moved)[2].square().sum().item()
        full = reference.table(3, 5, "torus", sigma, "wrapped_gaussian")
        shares = torch.softmax(-0.5 * reference.unit_energies(part, moved, full), dim=1)
        moved = reference.gradient_step(moved, part, shares @ full, 0.5)
    torch.testing.assert_close(torch.tensor(som.prototypes_).double(), moved, rtol=1e-5, atol=2e-5)
    assert som.progress_.mean_squared_distance == [pytest.approx(squared / 60, rel=1e-4)]


@pytest.mark.parametrize("winner", ["kohonen", "heskes", "soft"])
def test_cosine_prototypes_have_length_1_at_every_step(winner, monkeypatch):
    lengths = []
    constrain = "som.map.SelfOrganizingMap.constrain"
    from som import SelfOrganizingMap

    original = SelfOrganizingMap.constrain
    monkeypatch.setattr(constrain, lambda som: (original(som), lengths.append(som.prototypes.norm(dim=1))))
    make(rule="gradient", winner=winner, distance="cosine", init="sample").fit(blobs(60, 3))
    assert len(lengths) >= 6  # 3 batches in 2 epochs
    for length in lengths:
        torch.testing.assert_close(length, torch.ones(15))


@pytest.mark.parametrize("rule", RULES)
def test_schedules_move_within_the_epoch_of_a_loader(rule):
    codes, start = blobs(60, 3), blobs(15, 3)
    options = {"rule": rule, "init": start, "shuffle": False, "epochs": 1, "batch_size": 15} | RULES[rule]
    array, loader = make(**options).fit(codes), make(**options).fit(DataLoader(codes, batch_size=15))
    torch.testing.assert_close(loader.prototypes_, array.prototypes_, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch_size", [5, 46])  # by dense weights, and by sums
def test_a_rate_that_overshoots_is_told_once_and_one_that_diverges_ends_the_fit(batch_size):
    options = {"rule": "gradient", "batch_size": batch_size, "sigma": (5.0, 5.0), "shuffle": False}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        make(**options, alpha=(1.5, 1.5)).fit(blobs(60, 3))
    assert [str(one.message)[:20] for one in told] == ["alpha 1.5 overshoots"]
    make(**options, alpha=(1.0, 1.0)).fit(blobs(60, 3))  # warnings are errors
    with pytest.warns(UserWarning, match="alpha 9 overshoots"), pytest.raises(ValueError, match="lower alpha"):
        make(**options, alpha=(9.0, 9.0), epochs=60).fit(blobs(60, 3))

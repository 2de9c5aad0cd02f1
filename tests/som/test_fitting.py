import pytest
import torch
from torch.utils.data import DataLoader

from som import SOM, Schedule
from som.fitting import NARROW, Fit, Plan, over_processes, processes, seeded
from tests.som.test_batch_fit import blobs

RULES = {"batch": {}, "gradient": {"alpha": (0.7, 0.2)}, "ema": {"alpha": (0.9, 0.3)}}


def make(rule, **options):
    options = {"sigma": (1.6, 0.4), "epochs": 3, "batch_size": 32, "random_state": 0} | RULES[rule] | options
    return SOM(3, 5, rule=rule, **options)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_an_error_in_an_epoch_leaves_a_usable_map(rule, offset):
    codes = blobs(96, 4, offset)
    som = make(rule).partial_fit(codes)
    before, poisoned = torch.tensor(som.prototypes_), codes.clone()
    poisoned[70, 1] = torch.nan
    with pytest.raises(ValueError, match="row 70 holds NaN"):
        som.partial_fit(DataLoader(poisoned, batch_size=32))
    assert som.progress_.epoch == len(som.progress_.sigma) == len(som.progress_.rescored) == 1
    assert som.quantisation_error(codes) < 30
    if rule == "batch":  # whose only update was not reached
        torch.testing.assert_close(torch.tensor(som.prototypes_), before)
    som.partial_fit(codes)
    assert som.n_iter_ == 2


@pytest.mark.parametrize("rule", RULES)
def test_partial_fits_are_a_fit(rule):
    codes = blobs()
    whole, parts = make(rule).fit(codes), make(rule)
    for _ in range(3):
        parts.partial_fit(codes)
    assert (whole.prototypes_ == parts.prototypes_).all()
    assert whole.progress_ == parts.progress_


@pytest.mark.parametrize("down", [1, 2])
@pytest.mark.parametrize("right", [0, 3])
@pytest.mark.parametrize("rule", RULES)
def test_rolling_the_start_rolls_the_map_and_changes_no_measure(rule, down, right):
    codes, start = blobs(), blobs(15)
    rolled = start.view(3, 5, -1).roll((down, right), (0, 1)).reshape(15, -1)
    one, other = make(rule, init=start).fit(codes), make(rule, init=rolled).fit(codes)
    expected = torch.tensor(one.prototypes_).view(3, 5, -1).roll((down, right), (0, 1)).reshape(15, -1)
    torch.testing.assert_close(torch.tensor(other.prototypes_), expected, rtol=1e-4, atol=1e-4)
    row, col = torch.tensor(one.labels_) // 5, torch.tensor(one.labels_) % 5
    assert torch.equal(torch.tensor(other.labels_), (row + down) % 3 * 5 + (col + right) % 5)
    assert one.quantisation_error(codes) == pytest.approx(other.quantisation_error(codes), rel=1e-5)
    assert one.topographic_error(codes) == other.topographic_error(codes)
    energies = [som.map_.energy(codes, 0.8)[0].item() for som in (one, other)]
    assert energies[0] == pytest.approx(energies[1], rel=1e-5)


def test_progress_falls_on_structured_codes():
    som = make("batch", epochs=8).fit(blobs())
    assert som.progress_.epoch == 8
    assert som.progress_.mean_squared_distance[-1] < 0.5 * som.progress_.mean_squared_distance[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": "binary"}, "search 'binary' is unknown; choose one of 'auto', 'dense', 'pruned'"),
        ({"epochs": 0}, "epochs must be an integer of at least 1; got epochs=0"),
        ({"sigma": Schedule(1.0, -1.0, "linear")}, "sigma must start above 0 and not end below; got 1.0 to -1.0"),
        ({"alpha": Schedule(-1.0, 1.0, "linear")}, "alpha must be at least 0; got -1.0 to 1.0"),
        ({"batch_size": 2.5}, "batch_size must be an integer of at least 1; got batch_size=2.5"),
    ],
)
def test_refusals(options, message):
    plan = {"rule": "batch", "sigma": Schedule(1.0, 1.0), "alpha": Schedule(1.0, 1.0), "epochs": 1, "batch_size": 1}
    plan |= {"shuffle": True, "search": "auto", "deterministic": False, "seed": 0}
    assert Plan(**plan).rule == "batch"
    with pytest.raises(ValueError, match=message):
        Plan(**plan | options)


def test_seeds_depend_on_every_number():
    seeds = [(0,), (0, 0), (0, 1), (1, 0), (1,), (0, 0)]
    draws = [torch.rand(1, generator=seeded(*numbers)).item() for numbers in seeds]
    assert len(set(draws)) == 5
    assert draws[1] == draws[5]


def test_one_process_adds_nothing():
    assert processes() == (0, 1)
    assert over_processes(1.5, 2, device=torch.device("cpu")) == [1.5, 2]
    assert Fit.state.fget(None) == {}


def test_a_width_of_0_is_the_bmu_alone():
    codes = blobs()
    options = {"schedule": "linear", "sigma": (1.6, 0.0), "alpha": (0.5, 0.5), "init": blobs(15), "shuffle": False}
    som = make("gradient", **options).fit(codes)
    assert som.partial_fit(codes).progress_.sigma[-1] == NARROW  # and goes on beyond the last epoch
    one, other = (make("batch", schedule="linear", sigma=(width, 0.0), epochs=1) for width in (NARROW, 1e-30))
    assert (one.fit(codes).prototypes_ == other.fit(codes).prototypes_).all()

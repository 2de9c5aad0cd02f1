import pytest
import torch
from torch.utils.data import DataLoader

from som import Schedule, SelfOrganizingMap
from som.batch_fit import BatchFit
from som.fitting import Plan, seeded
from som.initial import initial_prototypes
from som.minibatch_fit import MinibatchFit
from som.sources import ArraySource, LoaderSource
from som.start import POOL, start_fit
from tests.som import reference

CPU = torch.device("cpu")


def plan(**options):
    one = Schedule(1.0, 1.0)
    options = {"rule": "batch", "search": "auto", "deterministic": False, "seed": 7} | options
    return Plan(sigma=one, alpha=one, epochs=1, batch_size=5, shuffle=True, **options)


def start(codes, init="sample", distance="euclidean", winner="kohonen", standardise=False, **options):
    som = SelfOrganizingMap(3, 5, 4, distance=distance, winner=winner, standardise=standardise)
    source = LoaderSource(codes, CPU) if isinstance(codes, DataLoader) else ArraySource(codes, CPU)
    return start_fit(som, source, plan(**options), init)


def test_the_map_starts_from_a_pool_and_the_fit_from_its_mean():
    codes = reference.draw(40, 4, offset=100.0)
    fit = start(codes)
    pool = codes[torch.randperm(40, generator=seeded(7, 0))]
    expected = initial_prototypes(pool, fit.som.lattice, "sample", seeded(7, 1))
    assert torch.equal(fit.som.prototypes.detach(), expected)
    assert fit.som.initialised
    torch.testing.assert_close(fit.origin, codes.mean(0))


def test_the_pool_is_limited():
    assert POOL >= 512
    codes = torch.arange(3.0 * POOL)[:, None].expand(-1, 4)
    assert len(ArraySource(codes, CPU).pool(POOL, seeded(0)).unique(dim=0)) == POOL


def test_samples_are_one_a_unit_however_small_the_pool(monkeypatch):
    monkeypatch.setattr("som.start.POOL", 3)
    assert len(start(reference.draw(40, 4)).prototypes.unique(dim=0)) == 15


def test_given_prototypes_and_rules():
    given = reference.draw(15, 4)
    for rule, kind in (("batch", BatchFit), ("gradient", MinibatchFit), ("ema", MinibatchFit)):
        fit = start(reference.draw(40, 4), given, rule=rule)
        assert type(fit) is kind
        assert torch.equal(fit.prototypes, given)


def test_the_standardiser_sees_every_code_once():
    codes = reference.draw(6000, 4, offset=5.0)
    fit = start(codes, standardise=True)
    assert fit.som.standardiser.count == 6000
    torch.testing.assert_close(fit.som.standardiser.mean, codes.double().mean(0))
    assert fit.origin.abs().max() < 0.2


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_the_largest_code_is_known_where_sums_are_deterministic(distance):
    codes = reference.draw(40, 4, offset=100.0)
    fit = start(codes, distance=distance, deterministic=True)
    assert fit.largest == max(float(fit.encode(code[None]).abs().max()) for code in codes)
    assert (fit.origin == 0).all() == (distance == "cosine")
    assert start(codes).largest is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"winner": "heskes"}, "winner 'heskes' needs rule 'gradient'; got rule 'batch'"),
        ({"winner": "soft", "rule": "ema"}, "winner 'soft' needs rule 'gradient'; got rule 'ema'"),
        ({"winner": "soft", "rule": "gradient", "deterministic": True}, "deterministic=True needs an array"),
        ({"winner": "heskes", "rule": "gradient", "deterministic": True}, "and winner 'kohonen'"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        start(reference.draw(40, 4), **options)


def test_a_loader_has_no_deterministic_sums_and_bad_codes_are_named():
    codes = reference.draw(40, 4)
    with pytest.raises(ValueError, match="needs an array of codes"):
        start(DataLoader(codes, batch_size=7), deterministic=True)
    codes[31, 2] = torch.inf
    for source in (codes, DataLoader(codes, batch_size=7)):
        with pytest.raises(ValueError, match="row 31 holds NaN or infinity"):
            start(source)

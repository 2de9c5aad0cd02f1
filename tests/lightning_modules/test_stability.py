import re
import warnings

import pytest
import torch

from lightning_modules import stability
from lightning_modules.stability import StabilityWatch
from som import SelfOrganizingMap
from tests.som import reference
from tests.tiny import make_data, make_model, make_trainer

BMU = torch.tensor([0, 0, 5, 1])


@pytest.fixture
def som():
    som = SelfOrganizingMap(2, 3, 4, topology="plane")
    som.initialise(torch.rand(6, 4, generator=torch.Generator().manual_seed(0)))
    return som


@pytest.fixture
def trainer(tmp_path):
    return make_trainer(tmp_path)


def largest(sigma):
    """The largest mean neighbourhood, in float64 loops."""
    h = reference.weights(BMU, 2, 3, "plane", sigma)
    return max(sum(float(h[b, k]) for b in range(4)) / 4 for k in range(6))


def test_a_rate_diverges_from_two_over_the_largest_mean_neighbourhood(som, trainer):
    limit = 2 / largest(0.8)
    assert 2 < limit < 4
    with pytest.warns(UserWarning, match="overshoots on CL7"):
        StabilityWatch().check(trainer, "CL7", som, BMU, 0.8, limit * 0.999)
    with pytest.raises(ValueError, match=r"diverges on CL7 at sigma 0\.8:") as error:
        StabilityWatch().check(trainer, "CL7", som, BMU, 0.8, limit * 1.001)
    number, advised = re.search(r"is ([\d.]+) and must .* at most ([\d.]+)$", str(error.value)).groups()
    assert float(number) == pytest.approx(2, rel=0.01)
    assert float(advised) == pytest.approx(limit * 0.95, rel=0.05)
    with pytest.warns(UserWarning, match="overshoots"):
        StabilityWatch().check(trainer, "CL7", som, BMU, 0.8, float(advised))


def test_it_warns_once_a_depth(som, trainer):
    watch = StabilityWatch()
    for depth in ("CL1", "CL2"):
        with pytest.warns(UserWarning, match=rf"alpha 2 overshoots on {depth} \(its stability number is 1\.\d+, above"):
            watch.check(trainer, depth, som, BMU, 0.8, 2.0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            watch.check(trainer, depth, som, BMU, 0.8, 2.0)


def test_a_rate_that_overshoots_nowhere_says_nothing(som, trainer):
    rate = 0.99 / largest(0.3)
    assert rate > 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        StabilityWatch().check(trainer, "CL1", som, BMU, 0.3, rate)


def test_the_number_is_that_of_all_processes(som, trainer, monkeypatch):
    seen = []

    def reduce(tensor, reduce_op):
        seen.append(reduce_op)
        return tensor / 2  # as if the other process had no winner nearby

    monkeypatch.setattr(trainer.strategy, "reduce", reduce)
    with pytest.warns(UserWarning, match="overshoots"):
        StabilityWatch().check(trainer, "CL1", som, BMU, 0.8, 3 / largest(0.8))
    assert seen == ["mean"]


def test_mixed_precision_changes_nothing(som, trainer):
    """The number stands between 2 and what bfloat16 would make of it."""
    messages = []
    for mixed in (False, True):
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=mixed),
            pytest.raises(ValueError, match="diverges") as error,
        ):
            StabilityWatch().check(trainer, "CL1", som, BMU, 0.8, 2.5 / largest(0.8))
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    rates = [2 / largest(sigma) * 1.0005 for sigma in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    with torch.autocast("cpu", torch.bfloat16):
        for sigma, rate in zip((0.5, 0.6, 0.7, 0.8, 0.9, 1.0), rates, strict=True):
            with pytest.raises(ValueError, match="diverges"):
                StabilityWatch().check(trainer, "CL1", som, BMU, sigma, rate)


def test_a_rate_up_to_one_is_never_checked(make_tree, tmp_path, monkeypatch):
    tree = make_tree({"train": 4, "val": 2})
    calls = []
    number = torch.tensor(0.5)
    monkeypatch.setattr(stability, "stability", lambda denominator, samples, rate: calls.append(rate) or number)
    make_trainer(tmp_path).fit(make_model(alpha=(1.0, 1.0)), datamodule=make_data(tree))
    assert calls == []
    make_trainer(tmp_path).fit(make_model(alpha=(1.5, 1.5)), datamodule=make_data(tree))
    assert calls == pytest.approx([1.5] * 16)  # 2 depths: both ends at the start, then 2 epochs of 3 batches
    calls.clear()
    make_trainer(tmp_path).fit(make_model(alpha=(0.5, 1.5), schedule="linear"), datamodule=make_data(tree))
    assert calls == pytest.approx([1.5] * 2 + [0.5 + 4 / 6] * 2 + [0.5 + 5 / 6] * 2)


@pytest.mark.parametrize("rule", ["batch", "ema"])
def test_rules_without_a_rate_that_may_diverge_are_not_checked(make_tree, tmp_path, monkeypatch, rule):
    monkeypatch.setattr(StabilityWatch, "check", None)
    alpha = (50.0, 50.0) if rule == "batch" else (1.0, 1.0)  # rule batch has no use for it
    model = make_model(rule=rule, alpha=alpha)
    make_trainer(tmp_path).fit(model, datamodule=make_data(make_tree({"train": 4, "val": 2})))
    assert model.samples_seen == 24

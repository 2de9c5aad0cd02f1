import numpy as np
import pytest

from callbacks.attack.checks import Outcome, run_checks
from callbacks.attack.specs import parse_attacks
from tests.callbacks.ledgers import group

ITERATED, MONOTONE, TRANSFER, UNBOUNDED = range(4)


def outcome(attack, budget, fallen, count=40, source="", ids=None):
    """An attack that brings down the first so many images."""
    settings = {"name": attack} if isinstance(attack, str) else attack
    (spec,) = parse_attacks([settings], [1, 4, 255], 5)
    if source:
        object.__setattr__(spec, "source", source)
        object.__setattr__(spec, "label", f"{spec.label}_from_{source}")
    ids = np.arange(count) if ids is None else ids
    return Outcome(spec, budget, ids, np.arange(len(ids)) < fallen)


def check(number, *outcomes):
    return run_checks(outcomes)[number]


def test_what_did_not_run_is_neither_passed_nor_failed():
    for found in run_checks([]):
        assert found["passed"] is None
        assert found["evidence"] == ["no attack ran that would tell"]


def test_iterated_attacks_find_what_one_step_does():
    assert check(ITERATED, outcome("fgsm", 4, 20), outcome("pgd", 4, 25))["passed"] is True
    assert check(ITERATED, outcome("fgsm", 4, 20), outcome("pgd", 4, 17))["passed"] is True, "3 of 40 may be chance"
    failed = check(ITERATED, outcome("fgsm", 4, 20), outcome("pgd", 4, 10))
    assert failed["passed"] is False
    assert failed["evidence"] == [
        "pgd at 4/255 brings down 10 and fgsm at 4/255 20 of 40 images (10 fall to the latter alone, 0 to the former)"
    ]
    assert check(ITERATED, outcome("fgsm", 4, 20), outcome("pgd", 1, 1))["passed"] is None, "other budgets"
    assert check(ITERATED, outcome("fgsm", 4, 20), outcome({"name": "pgd", "target": 3}, 4, 1))["passed"] is None


def test_larger_budgets_find_what_smaller_ones_do():
    assert check(MONOTONE, outcome("pgd", 1, 5), outcome("pgd", 4, 5), outcome("pgd", 255, 40))["passed"] is True
    failed = check(MONOTONE, outcome("pgd", 4, 5), outcome("pgd", 1, 20), outcome("pgd", 255, 40))
    assert failed["passed"] is False
    assert failed["evidence"][0].startswith("pgd at 4/255 brings down 5 and pgd at 1/255 20 of 40 images")


def test_white_boxes_find_what_transferred_examples_do():
    white = outcome("pgd", 4, 30)
    assert check(TRANSFER, white, outcome("pgd", 4, 12, source="resnet50"))["passed"] is True
    failed = check(TRANSFER, outcome("pgd", 4, 5), outcome("pgd", 4, 30, source="resnet50"))
    assert failed["passed"] is False
    assert "pgd_from_resnet50 at 4/255 30 of 40 images" in failed["evidence"][0]


def test_without_a_bound_nothing_survives():
    assert check(UNBOUNDED, outcome("pgd", 4, 3))["passed"] is None, "a bounded attack does not tell"
    assert check(UNBOUNDED, outcome("pgd", 255, 40))["passed"] is True
    failed = check(UNBOUNDED, outcome("pgd", 255, 39), outcome("deepfool", None, 30))
    assert failed["evidence"] == [
        "pgd at 255/255: 1 of 40 images survive, expected none",
        "deepfool at minimal: 10 of 40 images survive, expected none",
    ]
    assert check(UNBOUNDED, outcome("boundary", None, 3))["passed"] is None, "black boxes may fail to start"


def test_only_images_that_both_attacked_are_compared():
    fewer = outcome("pgd", 4, 0, ids=np.arange(20, 40))
    assert check(ITERATED, outcome("fgsm", 4, 20), fewer)["passed"] is True


def test_outcomes_are_of_attacked_images():
    found = Outcome.of(group(3, attacked=[True, False, True], adversarial_prediction=[1, -1, 0]))
    assert found.ids.tolist() == [0, 2]
    assert found.success.tolist() == [True, False]


@pytest.mark.parametrize("count", [0, 1])
def test_few_images_raise_nothing(count):
    found = run_checks([outcome(name, 4, count, count) for name in ("fgsm", "pgd")])
    assert found[ITERATED]["passed"] is True

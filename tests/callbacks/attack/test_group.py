import numpy as np
import torch

from callbacks.attack.group import rate
from measures import wilson_interval
from tests.callbacks.ledgers import LATTICE, columns, context, group, units


def test_who_was_attacked_and_who_fell():
    found = group(
        5,
        reference=[0, 0, 0, 0, 7],
        clean_prediction=[0, 0, 3, 0, 7],
        adversarial_prediction=[0, 2, -1, -1, 1],
        attacked=[True, True, False, False, True],
    )
    assert found.right.tolist() == [True, True, False, True, True]
    assert found.survived.tolist() == [True, False, False, True, False], "a right image that was not attacked survives"
    assert found.success.tolist() == [False, True, False, False, True]
    assert found.name == "4/255"


def test_a_targeted_attack_succeeds_at_its_target_only():
    targeted = context({"name": "pgd", "target": 5})
    found = group(3, targeted, label="pgd_to_5", adversarial_prediction=[5, 2, 0], target=[5, 5, 5])
    assert found.success.tolist() == [True, False, False]
    assert found.survived.tolist() == [False, False, True], "another wrong class is no success, but no survival either"


def test_displacement_is_over_the_seams():
    rows = columns(6)
    found = group(6)
    expected = LATTICE.distance(units(rows, "CL2", "clean"), units(rows, "CL2", "gaussian"))
    assert torch.equal(found.displacement("CL2", "gaussian"), expected)
    chosen = np.arange(6) < 2
    assert torch.equal(found.displacement("CL2", "gaussian", chosen), expected[:2])


def test_norms_are_in_the_unit_of_budgets():
    found = group(2, linf=[4 / 255, np.nan])
    np.testing.assert_allclose(found.norms, [4, np.nan])
    l2 = group(2, context("pgd_l2"), label="pgd_l2", at=0.5, l2=[0.4, 0.5])
    np.testing.assert_allclose(l2.norms, [0.4, 0.5])
    spatial = group(2, context("spatial"), label="spatial", at=None)
    assert np.isnan(spatial.norms).all()
    assert (spatial.budget, spatial.name) == (None, "fixed")


def test_a_rate_has_its_interval():
    found = rate(np.array([True, False, True, True]))
    assert found == {"rate": 0.75, **dict(zip(("low", "high"), wilson_interval(3, 4), strict=True)), "trials": 4}
    assert np.isnan(rate(np.zeros(0, bool))["rate"])

"""The sums of one attack, against counts by hand."""

from types import SimpleNamespace

import pytest
import torch

from callbacks.attack_report import AttackReport, interval
from measures import Rate
from som import Lattice

MODULE = SimpleNamespace(lattice=Lattice(3, 4), depths=["CL1", "CL2"], device=torch.device("cpu"))


def found(adversarial, control, bmus):
    return {
        "adversarial_prediction": torch.tensor(adversarial),
        "control_prediction": torch.tensor(control),
        **{f"{depth}_{kind}": torch.tensor(bmu) for (depth, kind), bmu in bmus.items()},
    }


def test_rates_and_displacements_by_hand():
    report = AttackReport(MODULE)
    before = {"CL1": torch.tensor([0, 5]), "CL2": torch.tensor([3, 3])}
    bmus = {("CL1", "adversarial"): [1, 5], ("CL1", "control"): [0, 5]}
    bmus |= {("CL2", "adversarial"): [0, 11], ("CL2", "control"): [3, 2]}
    report.update(before, found([7, 2], [1, 2], bmus), torch.tensor([1, 2]))
    report.skip(torch.tensor([9, 10]))  # wrong when clean
    numbers = report.compute()
    assert (numbers["robust_accuracy"]["rate"], numbers["robust_accuracy"]["trials"]) == (0.25, 4)
    assert (numbers["attack_success"]["rate"], numbers["attack_success"]["trials"]) == (0.5, 2)
    assert numbers["control_success"]["rate"] == 0
    assert numbers["displacement"] == pytest.approx(
        {"CL1": 0.5, "CL2": 1.0}
    )  # over the seams: 3 -> 0 and 3 -> 11 are 1
    assert numbers["control_displacement"] == pytest.approx({"CL1": 0.0, "CL2": 0.5})


def test_an_interval_is_plain_numbers():
    rate = Rate()
    rate.update(torch.tensor([True, False, True, True]))
    numbers = interval(rate)
    assert numbers["rate"] == 0.75
    assert 0 < numbers["low"] < 0.75 < numbers["high"] < 1
    assert all(isinstance(number, int | float) for number in numbers.values())

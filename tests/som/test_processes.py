import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.som.processes import RULES, WINNERS, WORLDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """The state of every map, by world, rank and case."""
    folder = tmp_path_factory.mktemp("processes")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.som.processes", str(folder)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return {(world, rank): torch.load(folder / f"{world}-{rank}.pt") for world in WORLDS for rank in range(world)}


def check(states, case, tolerance, one=None):
    one = one or states[1, 0][case]
    for place, found in states.items():
        for name, value in one.items():
            what = f"{name} of '{case}' at {place}"
            torch.testing.assert_close(found[case][name], value, rtol=0, atol=tolerance, msg=what)


@pytest.mark.parametrize("rule", RULES)
def test_fixed_point_sums_are_the_same_bit_for_bit(states, rule):
    check(states, f"fixed, {rule}", 0)


@pytest.mark.parametrize("case", [f"float, {rule}" for rule in RULES] + list(WINNERS))
def test_float_sums_are_the_same_to_rounding(states, case):
    check(states, case, 1e-5)


@pytest.mark.parametrize("case", [f"float, {rule}" for rule in RULES] + ["no seed"] + list(WINNERS))
def test_processes_agree_with_each_other(states, case):
    for world in WORLDS[1:]:
        check({place: found for place, found in states.items() if place[0] == world}, case, 0, states[world, 0][case])


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "standardised"])
def test_shares_of_a_loader_give_one_map(states, rule):
    case = f"loader, {rule}"
    for world in WORLDS[1:]:
        check({place: found for place, found in states.items() if place[0] == world}, case, 0, states[world, 0][case])


def test_one_process_writes_the_checkpoint_of_all(states):
    check(states, "checkpoint", 1e-5)

import math

import pytest
import torch
from scipy.spatial.distance import cdist

from measures import prototype_distance, prototype_similarity
from som import Lattice

LATTICE = Lattice(3, 4)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_finds_the_shift_and_the_flip_again():
    reference = normal(12, 5)
    grid = reference.view(3, 4, 5)
    for moved in (grid.roll((1, 3), (0, 1)), grid.flip(0), grid.flip(1).roll(2, 1)):
        found = prototype_distance(5 * moved.reshape(12, 5), reference, LATTICE)
        assert found.mean == pytest.approx(0, abs=1e-6)
        assert found.by_unit.abs().max() < 1e-6
    assert prototype_distance(grid.roll((1, 3), (0, 1)).reshape(12, 5), reference, LATTICE).alignment.shift == (2, 1)


def test_match_scipy_and_no_other_shift_is_nearer():
    moving, reference = normal(12, 5), normal(12, 5, seed=1)
    found = prototype_distance(moving, reference, LATTICE)
    every = torch.tensor(cdist(moving.numpy(), reference.numpy(), "cosine"))
    units = found.alignment.units(torch.arange(12))
    torch.testing.assert_close(found.by_unit[units], every[torch.arange(12), units], atol=1e-6, rtol=0)
    assert found.chance == pytest.approx(every.mean().item(), abs=1e-6)
    grid = torch.arange(12).view(3, 4)
    for down in range(3):
        for right in range(4):
            shifted = grid.roll((-down, -right), (0, 1)).flatten()
            assert found.mean <= every[torch.arange(12), shifted].mean() + 1e-6
    assert found.mean < found.chance


def test_bad_input():
    reference = normal(12, 5)
    zeros = prototype_distance(torch.zeros(12, 5), reference, LATTICE)
    assert zeros.mean == 1
    with pytest.raises(ValueError, match="maps to align must have prototypes in one space"):
        prototype_distance(normal(12, 4), reference, LATTICE)
    reference[3, 1] = math.nan
    with pytest.raises(ValueError, match="row 3 holds NaN"):
        prototype_distance(reference, reference, LATTICE)


def test_depths_of_equal_dimensions_are_compared_each_with_each():
    maps = {"CL1": normal(12, 5), "CL2": normal(12, 4), "CL3": normal(12, 5, seed=1), "CL4": normal(12, 4, seed=2)}
    found = prototype_similarity(maps, LATTICE)
    assert set(found) == {f"prototype_distance_{d}{end}" for d in maps for end in ("", "_null_mean")}
    expected = prototype_distance(maps["CL1"], maps["CL3"], LATTICE)
    row, chance = found["prototype_distance_CL3"], found["prototype_distance_CL3_null_mean"]
    assert list(row) == list(maps)
    assert row["CL1"] == found["prototype_distance_CL1"]["CL3"] == expected.mean
    assert chance["CL1"] == expected.chance
    assert row["CL3"] == pytest.approx(0, abs=1e-6)
    assert math.isnan(row["CL2"])
    assert math.isnan(row["CL4"])


def test_nothing_is_said_where_no_two_depths_have_equal_dimensions():
    assert prototype_similarity({"CL1": normal(12, 5), "CL2": normal(12, 4)}, LATTICE) == {}

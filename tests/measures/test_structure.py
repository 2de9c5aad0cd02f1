import math

import pytest
import torch

from measures import (
    Estimate,
    by_quantity,
    class_structure,
    collision_lift,
    compare_structure,
    distance_ratio,
    effective_units,
    energy_distances,
    equalise_hits,
    information_measures,
    label_transfer,
    left_out_transfer,
    mean_center_distance,
    mmd,
    uniform_hits,
)
from measures.structure import ALTERNATIVES, UNIFORM_ALTERNATIVES
from som import Lattice
from tests.measures import reference

LATTICE = Lattice(5, 7)


@pytest.fixture(scope="module")
def blobs():
    return reference.blobs(LATTICE, 4, 30, spread=1.0)[0]


@pytest.fixture(scope="module")
def found(blobs):
    return class_structure(blobs, LATTICE, train=blobs.flip(1), permutations=60)


def test_values_are_those_of_each_measure(blobs, found):
    off = ~torch.eye(4, dtype=torch.bool)
    expected = {
        "samples": 120,
        "classes": 4,
        "fewest_samples": 30,
        "most_samples": 30,
        "effective_units": effective_units(blobs.sum(0)),
        "class_effective_units": 1 / (1 / effective_units(blobs)).mean(),
        "collision_lift": collision_lift(blobs),
        "collision_lift_r2": collision_lift(blobs, LATTICE, 2),
        "distance_ratio": distance_ratio(blobs, LATTICE),
        "energy_distance": energy_distances(blobs, LATTICE)[off].mean(),
        "mmd": mmd(blobs, LATTICE)[off].mean(),
        "left_out_transfer": left_out_transfer(blobs, LATTICE),
        "center_distance": mean_center_distance(blobs, LATTICE),
        "label_transfer": label_transfer(blobs.flip(1), blobs, LATTICE),
        "chance_accuracy": 0.25,
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(float(value), rel=1e-5), name
    for name, result in information_measures(blobs, 60).items():
        assert found[name].value == pytest.approx(result.value)
        assert found[name].p_value == pytest.approx(result.p_value)


def test_every_number_has_what_is_promised(found):
    for name, each in found.items():
        assert all(type(number) is float for number in vars(each).values())
        assert (name in ALTERNATIVES or name in UNIFORM_ALTERNATIVES or name == "label_transfer") == (
            not math.isnan(each.p_value)
        ), name
        if not math.isnan(each.low):
            assert each.low <= each.value <= each.high
    assert found["distance_ratio"].null_mean == pytest.approx(1, abs=0.02)
    assert found["collision_lift_r1"].null_mean == pytest.approx(1, abs=0.1)
    for name in ALTERNATIVES:
        if name != "distance_out":
            assert found[name].p_value < 0.05, name


def test_same_seed_same_numbers(blobs, found):
    again = class_structure(blobs, LATTICE, train=blobs.flip(1), permutations=60)
    assert again == found


def test_rolling_changes_nothing_but_the_papers_centers(blobs):
    before, after = (
        class_structure(table, LATTICE, permutations=2) for table in (blobs, reference.roll(blobs, LATTICE, 2, 3))
    )
    for name, each in before.items():
        if name != "paper_naive_center_distance":
            assert after[name].value == pytest.approx(each.value, rel=1e-6), name
    naive = "paper_naive_center_distance"
    assert abs(after[naive].value - before[naive].value) > 0.02


def test_labels_that_say_nothing_lie_within_the_null():
    hits = uniform_hits(torch.full((5,), 40), 35, torch.Generator().manual_seed(1))
    for name, each in class_structure(hits, LATTICE, permutations=99).items():
        if not math.isnan(each.p_value):
            assert each.p_value > 0.01, name


def test_label_transfer_has_an_interval_over_the_samples_that_are_named(found):
    each = found["label_transfer"]
    assert each.low < each.value < each.high
    binomial = (each.value * (1 - each.value) / 120) ** 0.5
    assert (each.high - each.low) / 4 == pytest.approx(binomial, rel=0.6)


def test_splits_are_compared_at_equal_numbers(blobs):
    more = torch.cat((blobs[:2] * 3, blobs[2:]))
    compared = compare_structure(more, blobs, LATTICE, seed=4)
    ours, theirs = equalise_hits(more, blobs, seed=4)
    for name, function in (
        ("collision_lift", collision_lift),
        ("distance_ratio", lambda x: distance_ratio(x, LATTICE)),
    ):
        assert compared[name].first == pytest.approx(float(function(ours)))
        assert compared[name].second == pytest.approx(float(function(theirs)))
        assert compared[name].low < 0 < compared[name].high, "one distribution"
    assert "effective_units" in compared
    with pytest.raises(ValueError, match="must count the same classes"):
        compare_structure(blobs[:3], blobs, LATTICE)
    with pytest.raises(ValueError, match="hits must be"):
        compare_structure(blobs, blobs, Lattice(3, 4))


def rows(*units):
    return torch.eye(35, dtype=torch.int64)[list(units)]


@pytest.mark.parametrize(
    "hits",
    {
        "no samples": rows(1, 2) * 0,
        "one class": rows(3) * 5 + rows(4),
        "one class of several": torch.cat((rows(3) * 5, rows(1, 2) * 0)),
        "one image a class": rows(0, 5, 30, 31),
        "an absent class": torch.cat((rows(3) * 5 + rows(9), rows(0) * 0, rows(3, 4) * 4)),
        "all on one unit": rows(8, 8, 8) * 9,
        "one sample": rows(1),
    }.values(),
    ids=lambda hits: str(hits.sum(1).tolist()),
)
@pytest.mark.parametrize("topology", ["torus", "plane"])
def test_bad_input_gives_numbers_or_nan(hits, topology):
    found = class_structure(hits, Lattice(5, 7, topology), train=hits, permutations=5)
    assert all(isinstance(each, Estimate) for each in found.values())
    classes, pairs = int((hits.sum(1) > 0).sum()), int((hits.sum(1) > 1).sum())
    if classes < 2:
        for name in ("collision_lift", "distance_out", "distance_ratio", "mutual_information", "left_out_transfer"):
            assert math.isnan(found[name].value), name
            assert math.isnan(found[name].p_value), name
    if not pairs:
        for name in ("class_effective_units", "collision_lift", "distance_in", "energy_distance", "mmd"):
            assert math.isnan(found[name].value), name
    if hits.sum() == 0:
        known = ("samples", "classes", "fewest_samples", "most_samples", "dead_units")
        assert all(math.isnan(each.value) for name, each in found.items() if name not in known)


def test_a_thousand_classes_of_one_image():
    generator = torch.Generator().manual_seed(0)
    hits = uniform_hits(torch.ones(1000, dtype=torch.int64), 35, generator)
    found = class_structure(hits, LATTICE, permutations=2)
    assert found["ambiguous_centers"].value == 1
    assert math.isnan(found["distance_ratio"].value)
    assert found["center_distance"].value == 0


def test_refusals(blobs):
    with pytest.raises(ValueError, match=r"hits must be \(classes, 12\) on a 3 x 4 lattice"):
        class_structure(blobs, Lattice(3, 4))
    with pytest.raises(ValueError, match="permutations must be 1 or more"):
        class_structure(blobs, LATTICE, permutations=0)


def test_estimates_of_several_depths_become_plain_numbers(blobs, found):
    other = class_structure(blobs.flip(0), LATTICE, train=blobs, permutations=60)
    table = by_quantity({"CL1": found, "CL2": other})
    assert table["collision_lift"] == {"CL1": found["collision_lift"].value, "CL2": other["collision_lift"].value}
    assert table["label_transfer_null_high"]["CL2"] == other["label_transfer"].null_high
    assert "samples_low" not in table, "an interval that no depth has"
    assert set(found) <= set(table)


def test_bounds_that_one_depth_has_are_kept():
    table = by_quantity({"CL1": {"x": Estimate(1.0)}, "CL2": {"x": Estimate(2.0, low=1.5)}})
    assert set(table) == {"x", "x_low"}
    assert math.isnan(table["x_low"]["CL1"])
    assert table["x_low"]["CL2"] == 1.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.full((2, 12), 1.5), "whole numbers from 0; got 1.5: give"),
        (torch.full((2, 12), -1), "whole numbers from 0; got -1: give"),
        (torch.full((2, 12), torch.nan), "got nan"),
        (torch.full((2, 12), torch.inf), "got inf"),
        (torch.ones(2, 12, dtype=torch.int64).numpy(), r"got a ndarray: give torch\.as_tensor"),
        (torch.ones(2, 11, dtype=torch.int64), r"hits must be \(classes, 12\)"),
    ],
)
def test_what_is_no_table_of_counts_is_refused(wrong, message):
    lattice, right = Lattice(3, 4), torch.ones(2, 12, dtype=torch.int64)
    for call in (
        lambda: class_structure(wrong, lattice),
        lambda: class_structure(right, lattice, train=wrong),
        lambda: compare_structure(wrong, right, lattice),
        lambda: compare_structure(right, wrong, lattice),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_whole_numbers_of_any_type_are_counts():
    hits = torch.randint(0, 9, (2, 12), generator=torch.Generator().manual_seed(0))
    found, floats = (class_structure(table, Lattice(3, 4), permutations=5) for table in (hits, hits.float()))
    assert repr(found) == repr(floats)  # NaN is equal to itself in it


def test_no_depth_has_no_quantity():
    assert by_quantity({}) == {}

"""The numbers by depth, against loops over the rows."""

import numpy as np
import pytest
import torch

from callbacks.attack.by_depth import by_depth, leaving
from measures import ClassRegions, center_rank, class_centers, leaving_depth
from tests.callbacks.ledgers import DEPTHS, KINDS, LATTICE, columns, context, group, units

HITS = torch.from_numpy(np.random.default_rng(3).poisson(0.6, (9, 20))).long()
HITS[5] = 0


@pytest.fixture
def rows():
    random = np.random.default_rng(1)
    given = {"reference": random.integers(9, size=30), "clean_prediction": random.integers(9, size=30)}
    given["clean_prediction"] = given["reference"]
    return columns(30, attacked=np.arange(30) % 5 > 0, adversarial_prediction=random.integers(9, size=30), **given)


@pytest.mark.parametrize("regions", [None, HITS])
def test_displacement_shift_and_amplification(rows, regions):
    numbers = by_depth(group(30, context(regions=regions), **rows))
    hit = rows["attacked"]
    for depth in DEPTHS:
        steps = {
            k: LATTICE.distance(units(rows, depth, "clean"), units(rows, depth, k)).numpy()[hit] for k in KINDS[1:]
        }
        shift = {k: rows[f"{depth}_{k}_shift"][hit] for k in KINDS[1:]}
        found = numbers[depth]
        for kind in KINDS[1:]:
            assert found["displacement"][kind] == pytest.approx(steps[kind].mean())
            assert found["stayed"][kind]["rate"] == pytest.approx((steps[kind] == 0).mean())
            assert found["stayed"][kind]["trials"] == 24
            for radius in (1, 2, 4):
                assert found["beyond"][str(radius)][kind]["rate"] == pytest.approx((steps[kind] > radius).mean())
            assert found["shift"][kind] == pytest.approx(np.median(shift[kind]))
        for kind in ("control", "gaussian"):
            expected = np.median(shift["adversarial"] / shift[kind])
            assert found["amplification"][kind] == pytest.approx(expected)


def test_flips_by_the_margin_of_the_clean_unit(rows):
    hit = rows["attacked"]
    margin = rows["CL1_margin"][hit]
    moved = LATTICE.distance(units(rows, "CL1", "clean"), units(rows, "CL1", "adversarial")).numpy()[hit] > 0
    quarters = by_depth(group(30, **rows))["CL1"]["flips_by_margin"]
    assert [quarter["adversarial"]["trials"] for quarter in quarters] == [6, 6, 6, 6]
    for quarter in quarters:
        low, high = quarter["margin"]
        assert quarter["adversarial"]["rate"] == pytest.approx(moved[(margin >= low) & (margin <= high)].mean())
    assert [quarter["margin"][0] for quarter in quarters] == sorted(quarter["margin"][0] for quarter in quarters)


def test_without_training_images_regions_are_null(rows):
    numbers = by_depth(group(30, **rows))
    for depth in DEPTHS:
        assert numbers[depth]["region"] is numbers[depth]["progress"] is numbers[depth]["target_rank"] is None
    assert leaving(group(30, **rows)) is None


def test_regions_progress_and_ranks_are_of_successful_attacks(rows):
    found = group(30, context(regions=HITS), **rows)
    numbers = by_depth(found)
    won = found.success
    assert 0 < won.sum() < rows["attacked"].sum()
    own, other = (torch.from_numpy(rows[name][won]) for name in ("reference", "adversarial_prediction"))
    regions = ClassRegions(HITS, LATTICE)
    odds = {}
    for depth in DEPTHS:
        at = {kind: units(rows, depth, kind)[won] for kind in KINDS}
        odds[depth] = {kind: regions.log_odds(at[kind], own, other) for kind in KINDS}
        known = ~odds[depth]["clean"].isnan()
        inside = known & (odds[depth]["clean"] > 0)
        region = numbers[depth]["region"]
        for kind in KINDS:
            assert region["log_odds"][kind] == pytest.approx(float(odds[depth][kind][known].quantile(0.5)), abs=1e-5)
            ranks = center_rank(at[kind], other, class_centers(HITS, LATTICE).center, LATTICE)
            assert numbers[depth]["target_rank"][kind] == pytest.approx(float(ranks[~ranks.isnan()].quantile(0.5)))
        assert region["inside"]["rate"] == pytest.approx(float(inside.double().sum() / known.sum()))
        assert region["left"]["control"]["rate"] == pytest.approx(
            float((odds[depth]["control"][inside] < 0).double().mean())
        )
        assert numbers[depth]["target_rank"]["of"] == int((HITS.sum(1) > 0).sum())
        progress = rows[f"{depth}_adversarial_progress"][won]
        assert numbers[depth]["progress"]["adversarial"] == pytest.approx(np.median(progress))
        assert numbers[depth]["progress"]["images"] == won.sum()

    before, after = (torch.stack([odds[depth][kind] for depth in DEPTHS]) for kind in ("clean", "adversarial"))
    known = ~before.isnan().any(0)
    first, inside = leaving_depth(before[:, known], after[:, known])
    left = leaving(found)
    assert left["images"] == int(known.sum())
    assert left["never_inside"] == pytest.approx(float((~inside).double().mean()))
    shares = [float((first[inside] == k).double().mean()) for k in range(3)]
    assert [*left["at"].values(), left["stayed"]] == pytest.approx(shares)
    assert list(left["at"]) == list(DEPTHS)


def test_nothing_fooled_is_undefined_and_no_error():
    found = group(4, context(regions=HITS), adversarial_prediction=np.zeros(4, np.int64))
    numbers = by_depth(found)["CL1"]
    assert numbers["displacement"]["adversarial"] >= 0
    assert np.isnan(numbers["region"]["log_odds"]["clean"])
    assert np.isnan(numbers["target_rank"]["clean"])
    assert leaving(found)["images"] == 0

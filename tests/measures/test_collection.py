"""The measures together: as one collection, under rolls of the map, and on two processes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed, multiprocessing
from torchmetrics import MetricCollection

from measures import (
    AdjustedMutualInformation,
    CenterDistance,
    CodeSample,
    CodeVariance,
    DeadUnits,
    LabelTransfer,
    MapDisplacement,
    NearCollisionLift,
    Rate,
    count_hits,
    map_measures,
    occupancy,
)
from som import Lattice

ROWS, COLS, CLASSES, DIMENSIONS = 3, 4, 3, 5


def collection():
    return map_measures(Lattice(ROWS, COLS), CLASSES, DIMENSIONS)


def further():
    """Measures that the collection of every run does not hold."""
    on_map = (ROWS, COLS, CLASSES)
    return MetricCollection(
        {
            "dead_units": DeadUnits(ROWS * COLS, CLASSES),
            "adjusted_mutual_information": AdjustedMutualInformation(ROWS * COLS, CLASSES),
            "near_collision_lift": NearCollisionLift(*on_map),
            "center_distance": CenterDistance(*on_map),
            "label_transfer": LabelTransfer(*on_map),
            "code_variance": CodeVariance(DIMENSIONS),
            "code_sample": CodeSample(10, DIMENSIONS),
        }
    )


def samples(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "bmu": torch.randint(ROWS * COLS, (count,), generator=generator),
        "second": torch.randint(ROWS * COLS, (count,), generator=generator),
        "distance": torch.rand(count, generator=generator),
        "euclidean": torch.rand(count, generator=generator),
        "label": torch.randint(CLASSES, (count,), generator=generator),
        "value": torch.rand(count, generator=generator),
        "codes": torch.randn(count, DIMENSIONS, generator=generator),
        "id": torch.arange(count),
    }


def part(batch, start, stop):
    return {name: values[start:stop] for name, values in batch.items()}


def results(metrics, batch, sizes):
    for size, stop in zip(sizes, torch.tensor(sizes).cumsum(0).tolist(), strict=True):
        metrics.update(**part(batch, stop - size, stop))
    return metrics.compute()


def test_hits_are_counted_once_for_all_who_need_them(monkeypatch):
    calls = []
    monkeypatch.setattr(occupancy, "count_hits", lambda *arguments: calls.append(1) or count_hits(*arguments))
    metrics = collection()
    metrics.update(**samples(20))
    groups = sorted(sorted(group) for group in metrics.compute_groups.values())
    shared = [
        ["collision_lift", "distance_ratio", "effective_units", "hits"],
        ["explained_variance", "relative_quantisation_error"],
    ]
    assert groups == [shared[0], ["dead_channels"], shared[1], ["quantisation_error"], ["topographic_error"]]
    assert len(calls) == 4
    metrics.update(**samples(20, seed=1))
    assert len(calls) == 5
    assert metrics.compute()["hits"].sum() == 40


@pytest.mark.parametrize("first", [0, 1, 13])
def test_the_collection_gives_what_each_gives_alone(first):
    # A first batch of zeros makes all sums equal: groups must not form from that.
    batch = samples(40)
    batch["distance"][:first] = 0
    batch["second"][:first] = batch["bmu"][:first]
    together = results(collection(), batch, (first, 40 - first))
    for name, metric in collection().items():
        alone = results(MetricCollection({name: metric}), batch, (40,))
        torch.testing.assert_close(together[name], alone[name])


def test_reset_forgets():
    metrics, batch = collection(), samples(40)
    once = results(metrics, batch, (40,))
    metrics.reset()
    again = results(metrics, batch, (10, 30))
    for name, value in once.items():
        torch.testing.assert_close(again[name], value)


@settings(deadline=None, max_examples=40)
@given(st.integers(-5, 5), st.integers(-5, 5), st.integers(0, 99))
def test_rolling_the_torus_changes_no_measure(down, right, seed):
    def roll(units):
        return torch.roll(torch.arange(ROWS * COLS).view(ROWS, COLS), (down, right), (0, 1)).flatten()[units]

    batch = samples(30, seed)
    rolled = batch | {"bmu": roll(batch["bmu"]), "second": roll(batch["second"])}
    before, after = results(collection(), batch, (30,)), results(collection(), rolled, (30,))
    for name in ("topographic_error", "effective_units", "collision_lift", "distance_ratio"):
        torch.testing.assert_close(before[name], after[name])
    moves = [MapDisplacement(ROWS, COLS) for _ in range(2)]
    for metric, pair in zip(moves, (batch, rolled), strict=True):
        metric.update(pair["bmu"], pair["second"])
    torch.testing.assert_close(moves[0].compute(), moves[1].compute())


def test_all_that_count_hits_or_codes_share_one_table():
    metrics = further()
    results(metrics, samples(40), (20, 20))
    groups = sorted(sorted(group) for group in metrics.compute_groups.values())
    assert [len(group) for group in groups] == [5, 1, 1]


def _everything(batch, sizes):
    found = results(collection(), batch, sizes) | results(further(), batch, sizes)
    found["code_sample"] = found["code_sample"].codes
    displacement, rate = MapDisplacement(ROWS, COLS), Rate()
    displacement.update(batch["bmu"], batch["second"])
    rate.update(batch["label"] == 0)
    return found | {"displacement": displacement.compute(), "rate": rate.compute()}


def _process(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    try:
        batch = part(samples(40), *((0, 13) if rank == 0 else (13, 40)))
        torch.save(_everything(batch, (5, 8) if rank == 0 else (20, 7)), f"{folder}/{rank}.pt")
    finally:
        distributed.destroy_process_group()


def test_two_processes_measure_what_one_does(tmp_path):
    multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    one = _everything(samples(40), (40,))
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.keys() == one.keys()
        for name, value in one.items():
            torch.testing.assert_close(found[name], value)
        assert torch.equal(found["hits"], one["hits"])

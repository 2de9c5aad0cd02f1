import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import class_centers, medoid_units, paper_naive_centers
from measures.centers import _rayleigh
from som import Lattice
from tests.measures import reference

LATTICE = Lattice(5, 7)


def mean_square(positions, point, length):
    return sum(reference.axis_steps(x, point, length, "torus") ** 2 for x in positions) / len(positions)


def local_minima(positions, length):
    """Of the mean squared distance round a circle: means of lay-outs, each sample in its copy nearest to that mean."""
    found = []
    for turns in itertools.product((-1, 0, 1), repeat=len(positions)):
        laid = [x + turn * length for x, turn in zip(positions, turns, strict=True)]
        mean = sum(laid) / len(laid)
        if 0 <= mean < length and all(abs(x - mean) < length / 2 for x in laid):
            found.append((mean_square(positions, mean, length), mean))
    return sorted(found)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.sampled_from([0, 1]))
def test_is_the_least_of_all_lay_outs(positions, axis):
    lattice, length = (Lattice(7, 3), 7) if axis == 0 else (Lattice(3, 7), 7)
    hits = torch.zeros(1, 21, dtype=torch.int64)
    for x in positions:
        hits[0, x * 3 if axis == 0 else x] += 1
    found = class_centers(hits, lattice)
    minima = local_minima(positions, length)
    assert found.variance[0, axis].item() == pytest.approx(minima[0][0], abs=1e-9)
    center = found.center[0, axis].item()
    assert 0 <= center < length
    assert mean_square(positions, center, length) == pytest.approx(minima[0][0], abs=1e-9)
    others = [v for v, mean in minima if reference.axis_steps(mean, center, length, "torus") > length / 8]
    expected = others[0] - minima[0][0] if others else math.inf
    assert found.gap[0, axis].item() == pytest.approx(expected, abs=1e-9)
    angles = torch.tensor(positions).double() * 2 * math.pi / length
    mean = torch.polar(torch.ones(len(positions)).double(), angles).mean().abs()
    assert found.resultant[0, axis].item() == pytest.approx(mean.item())
    assert found.variance[0, 1 - axis] == 0


@pytest.mark.parametrize("shift", [(0, 3), (2, 0), (4, 6)])
def test_centers_move_with_the_map_and_the_papers_do_not(shift):
    hits, _ = reference.blobs(LATTICE, 30, 40, spread=1.0)
    before, after = class_centers(hits, LATTICE), class_centers(reference.roll(hits, LATTICE, *shift), LATTICE)
    sides = torch.tensor([5, 7])
    torch.testing.assert_close(after.center, (before.center + torch.tensor(shift)) % sides)
    for name in ("variance", "resultant", "gap", "ambiguous"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name))
    naive = [paper_naive_centers(table, LATTICE) for table in (hits, reference.roll(hits, LATTICE, *shift))]
    moved = (naive[0] + torch.tensor(shift)) % sides - naive[1]
    assert (moved.abs().amax(1) > 0.5).double().mean() > 0.2


def test_papers_centers_are_the_mean_over_the_nine_copies():
    hits, _ = reference.blobs(LATTICE, 4, 9, spread=1.5)
    for samples, center in zip(reference.samples_of(hits, 7), paper_naive_centers(hits, LATTICE).tolist(), strict=True):
        copies = [(r + 5 * i, c + 7 * j) for r, c in samples for i in range(3) for j in range(3)]
        middle = [sum(x[axis] for x in copies) / len(copies) - side for axis, side in ((0, 5), (1, 7))]
        assert center == pytest.approx(middle)


def test_intrinsic_centers_find_compact_classes_and_the_papers_miss_a_quarter():
    lattice = Lattice(40, 40)
    hits, places = reference.blobs(lattice, 400, 50, spread=2.0)
    found = class_centers(hits, lattice)

    def errors(centers):
        pairs = zip(centers.tolist(), places.tolist(), strict=True)
        return torch.tensor([reference.distance(center, place, lattice) for center, place in pairs])

    assert errors(found.center).max() < 2
    assert not found.ambiguous.any()
    assert 0.2 < (errors(paper_naive_centers(hits, lattice)) > 3).double().mean() < 0.35


def test_ambiguous_where_samples_do_not_tell():
    lattice, generator = Lattice(20, 24), torch.Generator().manual_seed(0)
    for samples in (1, 2, 10, 1000):
        units = torch.randint(480, (200, samples), generator=generator)
        hits = torch.zeros(200, 480, dtype=torch.int64).scatter_add_(1, units, torch.ones_like(units))
        assert class_centers(hits, lattice).ambiguous.double().mean() > 0.97
    two_heaps = torch.zeros(2, 480, dtype=torch.int64)
    two_heaps[0, 0] = two_heaps[0, 12] = 100  # opposite one another: two centers, half-way
    two_heaps[1, 0], two_heaps[1, 12] = 150, 50  # one center: nearer to the larger heap on one side or the other
    found = class_centers(two_heaps, lattice)
    assert found.gap[:, 1].tolist() == [0, 0]
    assert found.ambiguous.tolist() == [True, True]
    # Nearly as good on either side: more samples of the same proportions settle it.
    nearly = torch.zeros(2, 480, dtype=torch.int64)
    nearly[:, 0], nearly[:, 11], nearly[:, 13] = 150, 30, 20
    nearly[1] *= 10_000
    found = class_centers(nearly, lattice)
    assert found.gap[0, 1] == found.gap[1, 1] > 0
    assert found.ambiguous.tolist() == [True, False]
    band = torch.zeros(1, 480, dtype=torch.int64)
    band[0, 24:48] = 10  # one row: all columns
    assert class_centers(band, lattice).ambiguous.tolist() == [True]
    assert class_centers(torch.full((1, 1), 5), Lattice(1, 1)).ambiguous.tolist() == [False]
    assert class_centers(torch.tensor([[0, 5, 1, 0, 0, 0]]), Lattice(1, 6)).ambiguous.tolist() == [False]


def test_rayleighs_test_holds_its_level():
    generator = torch.Generator().manual_seed(0)
    for samples in (5, 20):
        angle = torch.rand(20000, samples, generator=generator).double() * 2 * math.pi
        resultant = torch.polar(torch.ones(()).double().expand_as(angle), angle).mean(1).abs()
        rejected = _rayleigh(torch.full((20000,), float(samples)).double(), resultant) < 0.05
        assert rejected.double().mean().item() == pytest.approx(0.05, abs=0.006)


@settings(deadline=None, max_examples=60)
@given(reference.tables(3, 12), st.sampled_from(["torus", "plane"]))
def test_medoids_cost_least_of_all_units(hits, topology):
    lattice = Lattice(3, 4, topology)
    for samples, medoid in zip(reference.samples_of(hits, 4), medoid_units(hits, lattice).tolist(), strict=True):
        if not samples:
            assert medoid == -1
            continue
        costs = [sum(reference.distance((u // 4, u % 4), x, lattice) ** 2 for x in samples) for u in range(12)]
        assert costs[medoid] == pytest.approx(min(costs))


def test_medoids_are_those_of_the_fourier_transform():
    hits, _ = reference.blobs(LATTICE, 20, 15, spread=1.2)
    squares = torch.tensor([reference.distance((u // 7, u % 7), (0, 0), LATTICE) ** 2 for u in range(35)]).view(5, 7)
    spectra = torch.fft.rfft2(hits.double().view(-1, 5, 7)) * torch.fft.rfft2(squares.double())
    costs = torch.fft.irfft2(spectra, s=(5, 7)).flatten(1)
    chosen = costs.gather(1, medoid_units(hits, LATTICE)[:, None])[:, 0]
    torch.testing.assert_close(chosen, costs.amin(1))


def test_on_a_plane_the_mean():
    lattice = Lattice(5, 7, "plane")
    hits, _ = reference.blobs(lattice, 3, 20, spread=2.0)
    found = class_centers(hits, lattice)
    for c, samples in enumerate(reference.samples_of(hits, 7)):
        points = torch.tensor(samples).double()
        torch.testing.assert_close(found.center[c], points.mean(0))
        torch.testing.assert_close(found.variance[c], points.var(0, correction=0))
    assert found.resultant.isnan().all()
    assert found.gap.isinf().all()
    assert not found.ambiguous.any()


@pytest.mark.parametrize("topology", ["torus", "plane"])
def test_classes_without_samples_have_no_center(topology):
    lattice = Lattice(2, 3, topology)
    hits = torch.tensor([[0, 0, 0, 0, 0, 0], [0, 4, 0, 0, 0, 0]])
    found = class_centers(hits, lattice)
    for name in ("center", "variance", "resultant", "gap"):
        assert getattr(found, name)[0].isnan().all()
    assert found.ambiguous.tolist() == [True, False]
    assert found.center[1].tolist() == [0, 1]
    assert paper_naive_centers(hits, lattice)[0].isnan().all()
    assert len(class_centers(hits[:0], lattice).center) == 0
    with pytest.raises(ValueError, match=r"hits must be \(classes, 6\) on a 2 x 3 lattice; got shape \(2, 5\)"):
        class_centers(hits[:, :5], lattice)

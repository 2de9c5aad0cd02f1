import pytest
import torch

from som import SelfOrganizingMap
from som.sources import ArraySource
from som.streaming import stream_bmus, stream_distances, stream_mean
from tests.som import reference

DEVICE = torch.device("cpu")


@pytest.fixture(params=["euclidean", "cosine"])
def som(request):
    som = SelfOrganizingMap(3, 5, 4, distance=request.param)
    som.initialise(reference.draw(40, 4), generator=torch.Generator().manual_seed(0))
    return som


def test_streams_are_what_the_map_says_of_all_codes_at_once(som, monkeypatch):
    monkeypatch.setattr("som.tiles.ROWS", 7)
    codes = reference.draw(24, 4, seed=3)
    source, winners = ArraySource(codes, DEVICE), som(codes)
    assert torch.equal(stream_bmus(som, source), winners.bmu)
    assert stream_mean(som, source, lambda found: found.distance) == pytest.approx(winners.distance.mean().item())
    distances = stream_distances(som, source)
    assert distances.shape == (24, 15)
    assert torch.equal(distances.argmin(1), winners.bmu)
    torch.testing.assert_close(distances.min(1).values.float(), winners.distance)


def test_distances_match_loops(som):
    codes = reference.draw(6, 4, seed=3)
    encoded, prototypes = som.encode(codes).double(), som.prototypes.detach().double()
    expected = reference.squared_distances(encoded, prototypes)
    expected = expected / 2 if som.distance == "cosine" else expected.sqrt()
    torch.testing.assert_close(stream_distances(som, ArraySource(codes, DEVICE)), expected, rtol=1e-6, atol=1e-6)


def test_distances_have_the_type_that_is_asked_for_and_no_gradient(som):
    codes = reference.draw(6, 4, seed=3).requires_grad_()
    distances = stream_distances(som, ArraySource(codes, DEVICE), torch.float32)
    assert distances.dtype == torch.float32
    assert not distances.requires_grad

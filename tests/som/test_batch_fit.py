import pytest
import torch

from som import SOM
from tests.som import reference


def blobs(samples=240, dimensions=6, offset=0.0):
    """Codes around 12 centres, so that rounding decides no winner."""
    centres = reference.draw(12, dimensions, seed=9) * 8
    return reference.draw(samples, dimensions) + centres[torch.arange(samples) % 12] + offset


def make(**options):
    options = {"sigma": (1.6, 0.4), "epochs": 4, "random_state": 0, "init": "sample"} | options
    return SOM(3, 5, **options)


@pytest.mark.parametrize("topology", ["torus", "plane"])
@pytest.mark.parametrize("kind", ["gaussian", "wrapped_gaussian", "bubble"])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_epochs_match_loops(topology, kind, offset):
    codes, start = blobs(60, 3, offset), blobs(15, 3, offset)
    som = make(topology=topology, neighbourhood=kind, init=start, epochs=3).fit(codes)
    batches, sigmas = [list(range(60))] * 3, som.progress_.sigma
    assert sigmas == pytest.approx([1.6, 1.6 * 0.25 ** (1 / 3), 1.6 * 0.25 ** (2 / 3)])
    expected = reference.fit(
        codes, start, 3, 5, rule="batch", sigmas=sigmas, alphas=sigmas, batches=batches, topology=topology, kind=kind
    )
    torch.testing.assert_close(torch.tensor(som.prototypes_).double(), expected, rtol=1e-6, atol=2e-5 + 1e-6 * offset)
    assert som.labels_.tolist() == reference.winners(codes, torch.tensor(som.prototypes_))[0].tolist()


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_every_search_gives_the_same_map(offset):
    codes = blobs(offset=offset)
    dense, *others = (make(search=search).fit(codes) for search in ("dense", "pruned", "auto"))
    for other in others:
        torch.testing.assert_close(other.prototypes_, dense.prototypes_, rtol=0, atol=1e-5 + 1e-6 * offset)
        assert (other.labels_ == dense.labels_).all()


def test_units_out_of_reach_keep_their_prototype():
    codes, start = torch.zeros(4, 2), reference.draw(15, 2)
    start[7] = 0
    som = make(neighbourhood="bubble", sigma=(0.5, 0.5), init=start).fit(codes)
    assert torch.equal(torch.tensor(som.prototypes_), start)


def test_the_mean_squared_distance_is_that_before_each_update():
    codes = blobs()
    som = make(epochs=1)
    for _ in range(3):
        start = torch.tensor(som.partial_fit(codes).prototypes_)
        som.partial_fit(codes)
        expected = reference.winners(codes, start)[2].square().mean().item()
        assert som.progress_.mean_squared_distance[-1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_fixed_point_gives_the_same_map_in_any_chunks(deterministic, distance, monkeypatch):
    codes = blobs(300)
    if distance == "cosine":  # codes of one direction lie no distance from their mean, but are of length 1
        codes = codes[:1] * torch.arange(1, 301)[:, None]
    options = {"deterministic": deterministic, "distance": distance}
    one = make(**options).fit(codes)
    monkeypatch.setattr("som.tiles.ROWS", 37)
    two = make(**options).fit(codes)
    torch.testing.assert_close(one.prototypes_, two.prototypes_, rtol=0, atol=0 if deterministic else 1e-5)
    monkeypatch.undo()
    plain = make(distance=distance).fit(codes)
    torch.testing.assert_close(one.prototypes_, plain.prototypes_, rtol=0, atol=1e-5)

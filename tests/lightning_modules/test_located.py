import pytest
import torch

from tests.tiny import TAPS, make_model


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_measures_get_the_space_of_the_map_and_straight_distances(distance):
    model = make_model(distance=distance)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        codes = model.extractor(torch.rand(30, 3, 16, 16, generator=generator)).codes
        for depth, som in model.maps.items():
            som.standardiser.update(codes[depth])
            som.initialise(codes[depth], generator=generator)
        images = torch.rand(5, 3, 16, 16, generator=generator)
        found, extraction = model.locate({"image": images}), model.extractor(images)
    for depth, som in model.maps.items():
        measured = found.measured(depth, som)
        encoded = som.encode(extraction.codes[depth])
        torch.testing.assert_close(measured["codes"], encoded)
        straight = torch.cdist(encoded.double(), som.prototypes.detach().double())
        torch.testing.assert_close(measured["euclidean"].double(), straight.amin(1), rtol=1e-3, atol=1e-3)
        assert torch.equal(measured["bmu"], som(extraction.codes[depth]).bmu)
        assert torch.equal(measured["distance"], som(extraction.codes[depth]).distance)
        assert torch.equal(measured["value"], extraction.dead[depth].float())
    assert tuple(found.winners) == tuple(TAPS)

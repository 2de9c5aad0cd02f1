import numpy as np
import pytest
import torch

from codes import CodeExtractor, load_backbone, pixel_codes


def test_each_cell_is_the_mean_of_its_pixels():
    images = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    expected = images.double().numpy().reshape(2, 3, 16, 2, 16, 3).mean((3, 5)).reshape(2, -1)
    codes = pixel_codes(images)
    assert codes.shape == (2, 768)
    assert codes.dtype == torch.float32
    np.testing.assert_allclose(codes, expected, rtol=1e-6)


def test_gradients_reach_every_pixel():
    images = torch.rand(1, 3, 35, 41, requires_grad=True)
    pixel_codes(images).sum().backward()
    assert (images.grad > 0).all()


def test_small_images_repeat_pixels():
    images = torch.arange(3 * 8 * 8).view(1, 3, 8, 8) / 192
    expected = images.repeat_interleave(2, 2).repeat_interleave(2, 3).flatten(1)
    torch.testing.assert_close(pixel_codes(images), expected)


def extractor(**settings):
    return CodeExtractor(load_backbone("tests.tiny:Tiny"), {"CL1": "first"}, image_size=16, **settings)


def test_the_images_are_a_depth_before_those_of_the_taps():
    found, plain = extractor(raw_pixels=True), extractor()
    assert found.depths == ("CL0", "CL1")
    assert found.taps == {"CL0": "pixels", "CL1": "first"}
    assert found.dimensions == {"CL0": 768} | plain.dimensions
    assert found.channels == {"CL0": 0} | plain.channels
    images = torch.rand(3, 3, 20, 24, requires_grad=True)
    extraction = found(images)
    assert torch.equal(extraction.codes["CL0"], pixel_codes(images)), "not normalised"
    assert extraction.dead["CL0"].tolist() == [0, 0, 0]
    assert list(extraction.codes) == list(extraction.dead) == ["CL0", "CL1"]
    backbone = found.backbone
    torch.testing.assert_close(extraction.codes["CL1"], CodeExtractor(backbone, {"CL1": "first"})(images).codes["CL1"])
    assert plain.depths == ("CL1",)


def test_a_tap_of_their_name_is_refused():
    with pytest.raises(ValueError, match="a tap is named 'CL0', the name of the raw pixels: give it another"):
        CodeExtractor(load_backbone("tests.tiny:Tiny"), {"CL0": "first"}, image_size=16, raw_pixels=True)

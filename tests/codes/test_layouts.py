"""Outputs of every layout come back as (B, C, H, W), on non-square images."""

import pytest
import torch

from codes.layouts import to_maps

IMAGE = (80, 112)  # 5 : 7


def maps(batch=2, channels=3, height=5, width=7):
    return torch.arange(batch * channels * height * width, dtype=torch.float32).view(batch, channels, height, width)


def test_channels_first_passes():
    assert to_maps(maps(), IMAGE, 0) is not None
    torch.testing.assert_close(to_maps(maps(), IMAGE, 0), maps(), atol=0, rtol=0)


def test_channels_last_is_permuted():
    torch.testing.assert_close(to_maps(maps().permute(0, 2, 3, 1), IMAGE, 0), maps(), atol=0, rtol=0)


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens_go_back_to_their_grid(prefix):
    tokens = torch.cat([torch.full((2, prefix, 3), -1.0), maps().flatten(2).transpose(1, 2)], dim=1)
    torch.testing.assert_close(to_maps(tokens, IMAGE, prefix), maps(), atol=0, rtol=0)


def test_tokens_without_their_class_token_still_fit():
    tokens = maps(height=4, width=4).flatten(2).transpose(1, 2)
    torch.testing.assert_close(to_maps(tokens, (64, 64), 1), maps(height=4, width=4), atol=0, rtol=0)


def test_the_grid_follows_the_images_aspect_ratio():
    tokens = torch.zeros(1, 36, 2)
    assert to_maps(tokens, (64, 64), 0).shape == (1, 2, 6, 6)
    assert to_maps(tokens, (64, 144), 0).shape == (1, 2, 4, 9)
    assert to_maps(tokens, (144, 64), 0).shape == (1, 2, 9, 4)


def test_maps_of_unpadded_convolutions_pass():
    assert to_maps(torch.zeros(1, 2, 8, 11), (299, 400), 0).shape == (1, 2, 8, 11)
    assert to_maps(torch.zeros(1, 2, 1, 1), (299, 400), 0).shape == (1, 2, 1, 1)


def test_a_tie_goes_to_the_declared_layout():
    output = torch.zeros(1, 6, 6, 6)
    output[0, 1, 2, 3] = 1.0
    assert to_maps(output, (24, 24), 0)[0, 1, 2, 3] == 1
    assert to_maps(output, (24, 24), 0, "NHWC")[0, 3, 1, 2] == 1


def test_the_declared_layout_decides_only_ties():
    wide = maps(channels=16)
    torch.testing.assert_close(to_maps(wide, IMAGE, 0, "NHWC"), wide, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(2, 10), r"shape \(2, 10\), which has no spatial axes"),
        (torch.zeros(2, 3, 4, 5, 6), r"shape \(2, 3, 4, 5, 6\)"),
        ((torch.zeros(1),), "gives a tuple, not a tensor"),
        ({"x": torch.zeros(1)}, "gives a dict"),
        (torch.zeros(2, 37, 8), "37 tokens, 0 of them class or register tokens"),
        (torch.zeros(2, 30, 8, 50), "neither the last two axes nor axes 1 and 2"),
    ],
)
def test_refuses_what_is_no_map(output, message):
    with pytest.raises(ValueError, match=message):
        to_maps(output, IMAGE, 0)

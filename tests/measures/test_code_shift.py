import math

import pytest
import torch

from measures import progress, relative_shift


def test_shift_against_loops():
    generator = torch.Generator().manual_seed(0)
    before, after = (torch.randn(4, 7, generator=generator) for _ in range(2))
    expected = [
        math.sqrt(sum((float(b) - float(a)) ** 2 for a, b in zip(*rows, strict=True))) / 2.5
        for rows in zip(before, after, strict=True)
    ]
    assert relative_shift(before, after, 2.5).tolist() == pytest.approx(expected, rel=1e-6)
    assert relative_shift(before, before, 2.5).tolist() == [0] * 4
    for scale in (0.0, math.nan):
        assert relative_shift(before, after, scale).isnan().all()


def test_progress_is_0_at_rest_and_1_at_the_other_mean():
    generator = torch.Generator().manual_seed(1)
    own, other, sideways = (torch.randn(5, 6, generator=generator) for _ in range(3))
    gap = other - own
    sideways -= (sideways * gap).sum(1, keepdim=True) / gap.square().sum(1, keepdim=True) * gap
    before = torch.randn(5, 6, generator=generator)
    for share in (0.0, 1.0, -0.5, 2.0):
        found = progress(before, before + share * gap + 3 * sideways, own, other)
        torch.testing.assert_close(found, torch.full((5,), share), rtol=0, atol=1e-5)


def test_progress_without_a_gap_is_undefined():
    own = torch.zeros(2, 3)
    other = torch.tensor([[0.0, 0.0, 0.0], [torch.nan, torch.nan, torch.nan]])
    assert progress(own, own + 1, own, other).isnan().all()


def test_progress_keeps_its_digits_on_large_offsets():
    offset = torch.full((1, 3), 1000.0)
    own, other = offset.clone(), offset + torch.tensor([[1.0, 0.0, 0.0]])
    moved = offset + torch.tensor([[0.25, 5.0, 0.0]])
    assert float(progress(offset, moved, own, other)) == pytest.approx(0.25, abs=1e-4)

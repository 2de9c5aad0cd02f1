"""Vector codes against float64 loops, on non-square maps."""

import itertools

import pytest
import torch

from codes import summaries
from codes.summaries import STATISTICS, code_width, statistic_slices, summarise
from tests.codes.reference import summarise_slowly


def example_maps(batch: int = 2, channels: int = 6) -> torch.Tensor:
    """Signed 5 x 7 maps with a dead, a constant, a zero and a one-hot channel."""
    maps = torch.randn(batch, channels, 5, 7, generator=torch.Generator().manual_seed(0))
    maps[:, 1] = -maps[:, 1].abs() - 0.1
    maps[:, 2] = 0.3
    maps[0, 3] = 0.0
    maps[0, 4] = 0.0
    maps[0, 4, 4, 0] = 2.5
    return maps


@pytest.mark.parametrize("size", [(5, 7), (1, 7), (5, 1), (1, 1)])
def test_equals_the_reference(size):
    maps = example_maps()[:, :, : size[0], : size[1]]
    codes, dead = summarise(maps)
    expected, expected_dead = summarise_slowly(maps)
    assert codes.dtype == torch.float32
    assert dead.dtype == torch.int64
    torch.testing.assert_close(codes.double(), torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=1e-6)
    assert dead.tolist() == expected_dead


def test_standard_deviation_survives_a_large_mean():
    maps = example_maps() + 1000.0
    std = summarise(maps, ("std",))[0]
    expected = torch.tensor(summarise_slowly(maps)[0], dtype=torch.float64)[:, 12:18]
    torch.testing.assert_close(std.double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("value", [0.3, -7.1, 1e4, 0.0])
def test_a_constant_channel_deviates_by_exactly_nothing(value):
    """Standardised, a deviation that is a rounding would become as large as any other."""
    maps = torch.full((2, 3, 56, 55), value)
    maps[0, 1, 3, 4] += 0.1 * abs(value) + 1e-3
    std = summarise(maps, ("std",))[0]
    assert (std == 0).tolist() == [[True, False, True], [True, True, True]]


@pytest.mark.parametrize("chunk", [1, 2 * 6 * 35, 3 * 6 * 35])
def test_chunks_give_what_the_whole_gives(monkeypatch, chunk):
    maps = torch.randn(5, 6, 5, 7, generator=torch.Generator().manual_seed(0))
    whole, dead = summarise(maps)
    monkeypatch.setattr(summaries, "_CHUNK", chunk)
    parts, dead_parts = summarise(maps)
    torch.testing.assert_close(parts, whole, atol=1e-7, rtol=1e-7)
    assert torch.equal(dead_parts, dead)


def test_no_images_have_no_codes():
    codes, dead = summarise(torch.zeros(0, 3, 5, 7))
    assert codes.shape == (0, 15)
    assert dead.shape == (0,)


def test_center_of_mass_points_from_the_first_row_and_column_to_the_last():
    maps = torch.zeros(1, 1, 5, 7)
    maps[0, 0, 4, 0] = 3.0
    code, _ = summarise(maps, ("com",))
    assert code.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("statistics", list(itertools.permutations(STATISTICS, 2)) + [(name,) for name in STATISTICS])
def test_a_selection_gives_the_same_blocks_in_its_own_order(statistics):
    maps = example_maps()
    whole, dead = summarise(maps)
    code, some_dead = summarise(maps, statistics)
    everywhere, here = statistic_slices(6), statistic_slices(6, statistics)
    assert code.shape == (2, code_width(6, statistics))
    assert [stop.stop for stop in here.values()][-1] == code.shape[1]
    for name, block in here.items():
        torch.testing.assert_close(code[:, block], whole[:, everywhere[name]])
    assert some_dead.tolist() == (dead.tolist() if "com" in statistics else [0, 0])


def test_memory_format_does_not_matter():
    maps = example_maps()
    for a, b in zip(summarise(maps), summarise(maps.contiguous(memory_format=torch.channels_last)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_computes_in_float32_whatever_the_input(dtype):
    maps = example_maps().to(dtype)
    codes, dead = summarise(maps)
    expected, expected_dead = summarise_slowly(maps)
    assert codes.dtype == torch.float32
    torch.testing.assert_close(codes.double(), torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=1e-6)
    assert dead.tolist() == expected_dead


def test_autocast_does_not_round():
    maps = example_maps()
    with torch.autocast("cpu", torch.bfloat16):
        codes = summarise(maps)[0]
    torch.testing.assert_close(codes, summarise(maps)[0], atol=0, rtol=0)


def test_gradient_equals_finite_differences_of_the_reference():
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(1, 2, 5, 7, generator=generator)
    weights = torch.randn(10, generator=generator)
    maps.requires_grad_()
    (summarise(maps)[0] @ weights).backward()

    def loss(values):
        return sum(w * c for w, c in zip(weights.tolist(), summarise_slowly(values)[0][0], strict=True))

    step = 1e-5
    for index in itertools.product([0], range(2), range(5), range(7)):
        upper, lower = maps.detach().double(), maps.detach().double()
        upper[index] += step
        lower[index] -= step
        assert maps.grad[index].item() == pytest.approx((loss(upper) - loss(lower)) / (2 * step), abs=1e-5)


@pytest.mark.parametrize("value", [0.0, -1.0, 0.3, 1e-30, 1e-40])
def test_gradient_of_constant_and_dead_channels_is_finite(value):
    maps = torch.full((2, 3, 5, 7), value, requires_grad=True)
    codes, dead = summarise(maps)
    codes.square().sum().backward()
    assert codes.isfinite().all()
    assert maps.grad.isfinite().all()
    assert dead.tolist() == ([0, 0] if value > 1e-35 else [3, 3])


@pytest.mark.parametrize("statistics", [(name,) for name in STATISTICS] + [STATISTICS])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_visible_in_every_statistic(statistics, value):
    maps = example_maps()
    maps[1, 5, 2, 3] = value
    codes, _ = summarise(maps, statistics)
    assert codes[0].isfinite().all()
    for name, block in statistic_slices(6, statistics).items():
        assert codes[1, block].isfinite().tolist() == [True] * 5 + [False], name


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_map_of_nothing_finite_is_not_dead(value):
    codes, dead = summarise(torch.full((1, 2, 5, 7), value))
    assert not codes.isfinite().any()
    assert dead.tolist() == [0]


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ((), "empty"),
        (("max", "median"), "'median' is unknown; choose from max, mean, std, com"),
        (("max", "std", "max"), "'max' is given more than once"),
        ("max", r"write \('max',\)"),
    ],
)
def test_refuses_bad_statistics(statistics, message):
    for function in (
        lambda s: summarise(example_maps(), s),
        lambda s: code_width(3, s),
        lambda s: statistic_slices(3, s),
    ):
        with pytest.raises(ValueError, match=message):
            function(statistics)


def test_refuses_what_is_no_map():
    with pytest.raises(ValueError, match=r"got shape \(2, 3\)"):
        summarise(torch.zeros(2, 3))


def test_where_triton_makes_no_kernel_torch_goes_on_alone():
    with pytest.warns(UserWarning, match="Triton makes no kernel here .*: torch takes the codes alone"):
        assert summaries._fused.__wrapped__(torch.device("cpu")) is None

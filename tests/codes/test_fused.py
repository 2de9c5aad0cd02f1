"""The GPU's kernel against float64 loops and torch: run by Triton's interpreter, and on a GPU where there is one."""

import importlib.util
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch

from codes.summaries import STATISTICS, statistic_slices, summarise
from tests.codes.reference import summarise_slowly
from tests.codes.test_summaries import example_maps

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
TRITON = pytest.mark.skipif(not importlib.util.find_spec("triton"), reason="torch for CPUs comes without Triton")


@pytest.fixture(scope="module", params=[pytest.param("cpu", marks=TRITON), pytest.param("cuda", marks=CUDA)])
def fused(request):
    """What `summarise` gives by the kernel for maps and statistics.

    Triton is told to interpret before it is imported, so it is in a process of its own.
    """
    with pytest.MonkeyPatch.context() as patch, ProcessPoolExecutor(1, get_context("spawn")) as pool:
        if request.param == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")

        def run(maps, statistics=STATISTICS):
            return pool.submit(run_kernel, maps, statistics, request.param).result()

        yield run


def run_kernel(maps, statistics, device):
    from codes.fused import summarise

    codes, dead = summarise(maps.to(device), statistic_slices(maps.shape[1], statistics))
    return codes.cpu(), dead.cpu()


@pytest.mark.parametrize("size", [(5, 7), (1, 7), (5, 1), (1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_the_reference(fused, size, layout):
    maps = example_maps()[:, :, : size[0], : size[1]].contiguous(memory_format=layout)
    codes, dead = fused(maps)
    expected, expected_dead = summarise_slowly(maps)
    assert codes.dtype == torch.float32
    assert dead.dtype == torch.int64
    torch.testing.assert_close(codes.double(), torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=1e-6)
    assert dead.tolist() == expected_dead


@pytest.mark.parametrize("statistics", [("mean",), ("com", "max"), ("std", "com", "mean"), ("max", "std")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_equals_torch(fused, statistics, dtype):
    """Of more channels than a program takes, and of a part of a larger map."""
    maps = torch.randn(2, 70, 9, 13, generator=torch.Generator().manual_seed(1)).to(dtype)[:, :67, 1:, 2:]
    for ours, theirs in zip(fused(maps, statistics), summarise(maps, statistics), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_the_standard_deviation_survives_a_large_mean(fused):
    maps = example_maps() + 1000.0
    expected = torch.tensor(summarise_slowly(maps)[0], dtype=torch.float64)[:, 12:18]
    torch.testing.assert_close(fused(maps, ("std",))[0].double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("value", [0.3, -7.1, 1e4, 0.0])
def test_a_constant_channel_deviates_by_exactly_nothing(fused, value):
    maps = torch.full((2, 3, 28, 27), value)
    maps[0, 1, 3, 4] += 0.1 * abs(value) + 1e-3
    assert (fused(maps, ("std",))[0] == 0).tolist() == [[True, False, True], [True, True, True]]


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (5, 7)])
def test_a_huge_constant_channel_deviates_by_nothing(fused, size):
    codes, _ = fused(torch.full((1, 2, *size), 1e20), ("max", "mean", "std"))
    torch.testing.assert_close(codes, torch.tensor([[1e20, 1e20, 1e20, 1e20, 0.0, 0.0]]))


def test_what_is_not_finite_stays_visible(fused):
    maps = torch.ones(2, 3, 9, 5)
    maps[0, 1, 8, 4] = torch.nan
    maps[1, 2, 0, 0] = torch.inf
    codes, dead = fused(maps)
    finite = codes.isfinite().view(2, 5, 3)
    assert not finite[0, :, 1].any()
    assert not finite[1, :3, 2].any()
    assert finite[0, :, [0, 2]].all()
    assert finite[1, :, :2].all()
    assert dead.tolist() == [0, 0]


@CUDA
def test_a_gpu_takes_it_where_no_gradient_is_asked_for():
    maps = example_maps().cuda()
    from codes import fused

    expected = fused.summarise(maps, statistic_slices(6))[0]
    assert torch.equal(summarise(maps)[0], expected)
    codes, _ = summarise(maps.requires_grad_())
    torch.testing.assert_close(codes, expected, atol=1e-6, rtol=1e-6)
    (gradient,) = torch.autograd.grad(codes.sum(), maps)
    assert gradient.isfinite().all()

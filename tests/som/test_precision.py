"""Products in full float32, whatever the process is set to."""

import pytest
import torch

from som.bounds import Dense, Pruned
from som.index import Index, find_nearest
from som.precision import full_float32
from som.winners import heskes_bmus

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(params=["highest", "high", "medium"])
def setting(request):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("device", "products"), [("cpu", torch.backends.mkldnn.matmul), ("cuda", torch.backends.cuda.matmul)]
)
def test_the_setting_is_left_as_it_was(setting, device, products):
    before = products.fp32_precision
    within = []

    def fail():
        with full_float32(torch.device(device)):
            within.append(products.fp32_precision)
            raise RuntimeError("a search that fails")

    with pytest.raises(RuntimeError, match="a search that fails"):
        fail()
    assert within == ["ieee"]
    assert products.fp32_precision == before
    assert torch.get_float32_matmul_precision() == setting


def test_autocast_is_off():
    a = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16), full_float32(a.device):
        assert (a @ a.T).dtype == torch.float32


def test_the_last_of_two_that_overlap_restores_it():
    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision
    first, second = full_float32(torch.device("cpu")), full_float32(torch.device("cpu"))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert products.fp32_precision == "ieee"
    second.__exit__(None, None, None)
    assert products.fp32_precision == before


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
@pytest.mark.parametrize("bounds", [Dense, Pruned])
def test_the_search_stays_exact(setting, device, bounds):
    """Prototypes near each other and far from the origin: TF32 finds the wrong unit of nearly every code.

    A CPU that multiplies in nothing narrower cannot fail here.
    """
    draw = torch.Generator().manual_seed(0)
    codes = (torch.randn(300, 300, generator=draw) + 100).to(device)
    prototypes = torch.randn(700, 300, generator=draw).cumsum(0).to(device) / 50 + 100
    expected = torch.cdist(codes.double(), prototypes.double()).argmin(1)
    index = Index(prototypes)
    assert torch.equal(find_nearest(codes, index, bounds(index)).units[:, 0], expected)
    alone = [torch.eye(rows, device=device) for rows in (20, 35)]  # no neighbours: Heskes' unit is the nearest
    near = heskes_bmus(codes - 100, prototypes - 100, (alone[0], alone[1]))
    assert (near == expected).float().mean() > 0.99

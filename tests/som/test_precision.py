"""Products in full float32, whatever the process is set to."""

import pytest
import torch

from som.precision import full_float32
from som.search import find_bmus

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
    with pytest.raises(ZeroDivisionError), full_float32(torch.device(device)):
        within.append(products.fp32_precision) or 1 / 0
    assert within == ["ieee"]
    assert products.fp32_precision == before
    assert torch.get_float32_matmul_precision() == setting


def test_autocast_is_off():
    a = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16), full_float32(a.device):
        assert (a @ a.T).dtype == torch.float32


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_the_search_stays_exact(setting, device):
    """Prototypes near each other and far from the origin: TF32 finds the wrong unit of nearly every code."""
    draw = torch.Generator().manual_seed(0)
    codes = (torch.randn(300, 300, generator=draw) + 100).to(device)
    prototypes = torch.randn(700, 300, generator=draw).cumsum(0).to(device) / 50 + 100
    expected = torch.cdist(codes.double(), prototypes.double()).argmin(1)
    assert torch.equal(find_bmus(codes, prototypes).bmu, expected)

import pytest
import torch

from som import check_finite, check_shape
from som.checks import LARGEST, check_codes


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_the_first_bad_row_is_named(poison):
    codes = torch.zeros(5, 3)
    codes[2, 1] = codes[4, 0] = codes[4, 1] = poison
    with pytest.raises(ValueError, match=r"row 2 holds NaN or infinity \(2 of 5 rows do\)"):
        check_finite(codes)


def test_rows_count_from_where_the_codes_begin():
    with pytest.raises(ValueError, match="row 4098 holds"):
        check_finite(torch.tensor([[0.0], [0.0], [torch.nan]]), first=4096)


def test_large_codes_pass():
    check_finite(torch.full((4, 3), 3e38))


def test_shapes_are_named():
    with pytest.raises(ValueError, match=r"got shape \(2, 3, 4\)"):
        check_shape(torch.zeros(2, 3, 4), 4)
    with pytest.raises(ValueError, match=r"codes have 3 dimensions but the map was made for 5"):
        check_shape(torch.zeros(2, 3), 5)


def test_codes_that_float32_cannot_square_are_named():
    codes = torch.zeros(5, 3)
    codes[3, 1] = -2 * LARGEST
    with pytest.raises(ValueError, match=r"at most 1e\+15 in absolute value.*row 13 holds more \(1 of 5 rows do\)"):
        check_codes(codes, first=10)
    codes[4, 1] = torch.nan
    with pytest.raises(ValueError, match="row 4 holds NaN or infinity"):
        check_codes(codes)
    check_codes(torch.full((400, 300), LARGEST))
    check_codes(torch.zeros(0, 3))

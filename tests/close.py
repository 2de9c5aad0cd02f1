"""Whether measures.json says the same of two runs."""

import pytest


def assert_close(got, expected, rel, abs):
    """Equal, but for rounding of the numbers."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(got[key], value, rel, abs)
    elif isinstance(expected, list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_close(one, other, rel, abs)
    else:
        assert got == (pytest.approx(expected, rel=rel, abs=abs) if isinstance(expected, float) else expected)

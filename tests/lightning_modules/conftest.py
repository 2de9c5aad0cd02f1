"""Images of the fits of this room's tests."""

import pytest


@pytest.fixture
def tree(make_tree):
    """12 training images: 3 batches of 4, or 2 of 5 and a remainder that is left out."""
    return make_tree({"train": 4, "val": 2})

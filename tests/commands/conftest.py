"""A run that is finished, and the images that it was made of."""

from tests.test_train import finished, own_argv, tree

__all__ = ["finished", "own_argv", "tree"]

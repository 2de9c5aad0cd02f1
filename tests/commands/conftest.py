"""A run that is finished, and the images that it was made of."""

from tests.whole_runs import finished, own_argv, tree

__all__ = ["finished", "own_argv", "tree"]

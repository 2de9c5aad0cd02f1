"""Several runs side by side, from what they left on disk: the paper's pictures by model and depth, and one table."""

"""Figures with axes, from arrays and numbers alone: no trainer, no network, no images but those they are given."""

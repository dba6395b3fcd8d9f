"""Architectures only: builders that return a `keras.Model`; no data, no training."""

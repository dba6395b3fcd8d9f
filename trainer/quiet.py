"""Imports TensorFlow without the notes that its native code writes to standard error before it reads any setting."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_stderr = os.dup(2)
_nowhere = os.open(os.devnull, os.O_WRONLY)
os.dup2(_nowhere, 2)
try:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  its ops, for graphs that hold them
finally:
    os.dup2(_stderr, 2)
    os.close(_stderr)
    os.close(_nowhere)

__all__ = ["tf"]

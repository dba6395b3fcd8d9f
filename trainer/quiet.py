"""Imports TensorFlow without the notes that its native code writes to standard error before it reads any setting.

Keras reads its backend and its number type from the environment and from ~/.keras/keras.json. Here they are set to those that
this program is written for, whatever these say.
"""

import os
import sys

from trainer.errors import Mistake

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "keras" in sys.modules and sys.modules["keras"].backend.backend() != "tensorflow":
    raise Mistake(f"expected Keras with its TensorFlow backend, found {sys.modules['keras'].backend.backend()} in use")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_USE_LEGACY_KERAS"] = "0"

_stderr = os.dup(2)
_null = os.open(os.devnull, os.O_WRONLY)
os.dup2(_null, 2)
try:
    import keras
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers its ops for graphs that hold them
finally:
    os.dup2(_stderr, 2)
    os.close(_stderr)
    os.close(_null)

keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")

__all__ = ["tf"]

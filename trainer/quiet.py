"""Imports TensorFlow without the notes that its native code writes to standard error before it reads any setting.

Keras reads its backend and its number type from the environment and from ~/.keras/keras.json. Here they are set to those that
this program is written for, whatever these say.
"""

import gc
import os
import sys

from trainer.errors import Mistake

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "keras" in sys.modules and sys.modules["keras"].backend.backend() != "tensorflow":
    raise Mistake(f"expected Keras with its TensorFlow backend, found {sys.modules['keras'].backend.backend()} in use")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_USE_LEGACY_KERAS"] = "0"

# Keras imports these wherever they are installed, for pictures and tables that no command makes of its models: a quarter of
# the time that the import takes. Who uses this package in a program of their own may want them.
_main = getattr(sys.modules["__main__"], "__spec__", None)
_command = "trainer.__main__" in sys.modules or (_main and _main.name.startswith(("trainer.", "serving.")))
_left_out = [name for name in ("matplotlib", "pandas") if _command and name not in sys.modules]
sys.modules.update(dict.fromkeys(_left_out))  # type: ignore[arg-type]  # None: it cannot be imported

# The imports make half a million objects that stay: looking through them for garbage, meanwhile, later and at the end of the
# process, would take a second in all.
_collects = gc.isenabled()
gc.disable()
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
    for _name in _left_out:
        del sys.modules[_name]
    if _command:
        gc.freeze()
    if _collects:
        gc.enable()

keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")

__all__ = ["tf"]

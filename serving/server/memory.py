"""Memory back to the system: glibc keeps it in each of its arenas, and a TensorFlow graph goes only with Python's collector.

The collector looks at all objects of the process, unless those that stay are set aside: `set_aside`.
"""

import ctypes
import gc
import threading

trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)  # glibc only
_unloaded = threading.Event()


def set_aside() -> None:
    """Keeps the collector from what is there now, as what was imported."""
    gc.collect()
    gc.freeze()


def unloaded() -> None:
    """Says that a model has gone."""
    _unloaded.set()


def tidy() -> None:
    """Gives back what models took that have gone since the last call; takes milliseconds, so no request's thread calls it."""
    if _unloaded.is_set():
        _unloaded.clear()
        gc.collect()
        trim(0)

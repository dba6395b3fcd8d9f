"""Models whose weights are all to be read from a file: no initial values are drawn for them, the greater part of building them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keras

RANDOM = (
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.VarianceScaling,
)
_lock = threading.RLock()


@contextmanager
def unset() -> Iterator[None]:
    """Lets Keras's random initializers give zeros in this thread; seeds are drawn as ever, so all that is random later is the same."""
    here = threading.get_ident()

    def zeros_of(drawn):
        def call(self, shape, dtype=None):
            return keras.ops.zeros(shape, dtype) if threading.get_ident() == here else drawn(self, shape, dtype)

        return call

    with _lock:
        before = {kind: kind.__call__ for kind in RANDOM}
        try:
            for kind, drawn in before.items():
                kind.__call__ = zeros_of(drawn)
            yield
        finally:
            for kind, drawn in before.items():
                kind.__call__ = drawn

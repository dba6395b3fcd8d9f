"""TensorFlow, imported without its notes."""

import gc
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from serving.server.configuration.flags import fail

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The system's allocator: TensorFlow's pool never returns the memory of the largest requests.
os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")


def import_tensorflow_quietly() -> None:
    """Imports TensorFlow without the notes that its native code writes to standard error whatever its log level."""
    stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    gc.disable()  # what the import makes stays, see `serving.server.memory`
    try:
        # TensorFlow imports Keras where it is there, a third of the time that the import takes; a server has no use for it.
        sys.modules.setdefault("keras", None)  # type: ignore[arg-type]  # None: it cannot be imported
        import tensorflow as tf

        # Only TF Text's ops, for the graphs that contain them: the package imports Keras, which a server may lack.
        spec = find_spec("tensorflow_text")
        folder = Path(spec.origin).parent if spec else None  # type: ignore[arg-type]  # packages have an origin
        libraries = [*folder.glob("python/*/*.so")] if folder else []
        for library in libraries:
            tf.load_library(str(library))
        tf.config.list_physical_devices()  # writes notes, too
    finally:
        gc.enable()
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)
    if not libraries:
        fail("expected the package tensorflow-text (docker/requirements.txt), found none of its ops", status=1)

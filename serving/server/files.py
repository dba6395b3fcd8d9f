"""Files of models and configurations: local ones as the system has them, others, as ram://models/m, by `tf.io.gfile`.

Errors are `OSError`s with a text in `strerror`, whatever the file system.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

File = tuple[str, int, int]  # (path, size, nanoseconds of its last change)
LOCAL = "file://"
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def place(path: str | os.PathLike) -> str:
    """Returns a path as it is used here: without file://, which is what paths are anyway."""
    text = os.fspath(path)
    return text.removeprefix(LOCAL) if text.startswith(LOCAL + "/") else text


def remote(path: str) -> bool:
    """Returns whether a path is one of another file system."""
    return bool(SCHEME.match(path))


def is_absolute(path: str) -> bool:
    """Returns whether a path means the same wherever it is used."""
    return remote(path) or os.path.isabs(path)


def names(folder: str) -> list[str]:
    """Returns the sorted names in a folder; raises `OSError`."""
    if not remote(folder):
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    with _gfile(folder) as gfile:
        if not gfile.isdir(folder):
            gfile.stat(folder)  # fails, and says why
            raise NotADirectoryError(20, os.strerror(20), folder)
        return sorted({name.rstrip("/") for name in gfile.listdir(folder)})


def is_file(path: str) -> bool:
    """Returns whether a path is that of a file; a broken link is none."""
    if not remote(path):
        return os.path.isfile(path)
    with _gfile(path) as gfile:
        return gfile.exists(path) and not gfile.isdir(path)


def read_bytes(path: str) -> bytes:
    """Returns the content of a file; raises `OSError`."""
    if not remote(path):
        return Path(path).read_bytes()
    with _gfile(path) as gfile, gfile.GFile(path, "rb") as file:
        return file.read()


def tree(folder: str) -> tuple[File, ...]:
    """Returns all that is in a folder, of links themselves, which may be broken; empty if it changes meanwhile."""
    try:
        if not remote(folder):
            stats = [(str(path), path.lstat()) for path in Path(folder).rglob("*")]
            return tuple(sorted((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))
        with _gfile(folder) as gfile:
            paths = [os.path.join(base, name) for base, _, found in gfile.walk(folder) for name in found]
            return tuple(sorted((path, *_size_and_time(gfile.stat(path))) for path in paths))
    except OSError:
        return ()


def _size_and_time(stat):
    return stat.length, stat.mtime_nsec


@contextmanager
def _gfile(path) -> Iterator:
    """Yields `tf.io.gfile`; its errors become `OSError`s."""
    import tensorflow as tf

    try:
        yield tf.io.gfile
    except tf.errors.NotFoundError:
        raise FileNotFoundError(2, os.strerror(2), path) from None
    except tf.errors.OpError as error:
        raise OSError(5, error.message, path) from None

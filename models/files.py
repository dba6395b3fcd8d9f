"""Files and folders that appear whole or not at all, and outlast a power cut."""

import errno
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path


def write(path, content):
    """Writes a file: to a temporary name, flushed to disk, then renamed.

    Args:
        path: Its path; one of that name is replaced, a link is followed.
        content: Bytes, or a string for UTF-8.

    Raises:
        OSError: It cannot be written; the one before it is whole.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(path.name + ".part")
    try:
        with open(temporary, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)  # it would take the room that the next try needs
        raise
    sync_folder(path.parent)


def write_json(path, value):
    write(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def new_folder(path):
    """Yields a folder of another name beside `path`, which gets that name when all is written in it, and goes otherwise.

    Raises:
        FileExistsError: `path` is there and not empty.
        ValueError: It cannot be made.
    """
    path = Path(path).resolve()  # of `.` and of a link, which cannot be renamed upon
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path}: expected a folder that is not there yet or empty, found one that holds files")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be made ({error.strerror})") from None
    try:
        yield part
        for one in part.iterdir():
            with open(one, "rb") as file:
                os.fsync(file.fileno())
        sync_folder(part)
        part.replace(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sync_folder(folder):
    """Flushes a folder's names to disk: a rename outlasts a power cut only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems without it
            raise
    finally:
        os.close(descriptor)

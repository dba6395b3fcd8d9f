"""Files and folders that appear whole or not at all, and outlast a power cut; results on standard output. Imports no framework.

`write` and `new_folder` are for our own files; `opened` is for a path that a user gives by `--output`: a device, a FIFO or a
socket is written to directly, and a symbolic link is followed.
"""

import contextlib
import errno
import io
import json
import math
import os
import re
import shutil
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from trainer import paired
from trainer.errors import Failure, Mistake, described
from trainer.runs import BEGUN, TRAINED

DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}

AnyPath = str | os.PathLike[str]


def write(path: AnyPath, content: bytes | str) -> None:
    """Writes a file: under a temporary name, flushed to disk, then renamed.

    Args:
        path: Its path; an existing file is replaced, a link is followed.
        content: Bytes, or a string to encode as UTF-8.

    Raises:
        OSError: It cannot be written; an existing file is as it was.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(path.name + ".part")
    try:
        with open(temporary, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
            _finish(file, path)
    except OSError:
        temporary.unlink(missing_ok=True)  # it would take the space that the next attempt needs
        raise


def _finish(file, path):
    """Flushes an open file to disk and gives it the name `path`, in its own folder."""
    file.flush()
    os.fsync(file.fileno())
    os.replace(file.name, path)
    sync_folder(os.path.dirname(path))


def write_json(path: AnyPath, value: Any) -> None:
    """Writes a value as indented JSON, as `write` does."""
    write(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextlib.contextmanager
def new_folder(path: AnyPath) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, which is renamed to `path` at the end, or deleted after an error.

    Raises:
        FileExistsError: `path` exists and is not empty.
        ValueError: The folder cannot be made.
    """
    path = Path(path).resolve()  # `.` and links cannot be replaced by renaming
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path}: expected a folder that is not there yet or empty, found one that holds files")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be made ({error.strerror})") from None
    try:
        yield part
        for entry in part.iterdir():
            with open(entry, "rb") as file:
                os.fsync(file.fileno())
        sync_folder(part)
        part.replace(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sync_folder(folder: AnyPath) -> None:
    """Flushes a folder's entries to disk; only then does a rename outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not every file system can
            raise
    finally:
        os.close(descriptor)


def json_line(value: Any, encoding: str = "utf-8") -> str:
    r"""Returns a value as one line of JSON; characters that the encoding lacks are written as \uXXXX.

    JSON has no NaN and no infinity: null stands for them.
    """
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        value = _finite(value)
        line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return json.dumps(value)
    return line


def _finite(value):
    if isinstance(value, dict):
        return {name: _finite(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_json(value: Any, file: TextIO | None = None) -> None:
    """Prints a result as one line of JSON, by default on standard output; everything else goes to standard error."""
    file = file or sys.stdout
    print(json_line(value, getattr(file, "encoding", None) or "utf-8"), flush=file is sys.stdout, file=file)


def is_plain(path: AnyPath) -> bool:
    """Says whether a path names a regular file, or one yet to be made: no device, FIFO, socket or stream of this process."""
    return _descriptor(path) is None and (not os.path.exists(path) or os.path.isfile(path))


def check(path: AnyPath, inputs: Mapping[str, AnyPath], option: str = "--output") -> None:
    """Refuses an output that would destroy what the command reads.

    Args:
        path: Where the output goes.
        inputs: {option: path} of what the command reads: a file, or a run folder, of which the files of the run count.
        option: For messages.

    Raises:
        Mistake: The output is one of the inputs, perhaps by another name, or is a folder.
    """
    if os.path.isdir(path):
        raise Mistake(f"{option} {path}: expected a file, found a folder")
    target = Path(os.path.realpath(path))
    for name, source in ((name, file) for name, given in inputs.items() for file in paired.names_of(given)):
        folder = Path(os.path.realpath(source))
        inside = target.relative_to(folder).parts[:1] if folder in target.parents else ()
        is_of_run = inside and inside[0] in (*BEGUN, *TRAINED)
        if is_of_run or (os.path.isfile(source) and os.path.exists(path) and os.path.samefile(path, source)):
            raise Mistake(f"{option} {path}: expected another file than {name} {source}, which this command reads")


@contextlib.contextmanager
def opened(
    path: AnyPath | None, inputs: Mapping[str, AnyPath] | None = None, option: str = "--output"
) -> Iterator[TextIO]:
    """Yields a text file to write to, UTF-8, opened before any work is done; a regular file gets its name at the end.

    Args:
        path: Where the output goes. None: standard output.
        inputs: See `check`.
        option: For messages.

    Raises:
        Mistake: See `check`; or the file cannot be opened.
        Failure: It could not be written to its end (a full disk).
    """
    if not path:
        yield sys.stdout
        return
    check(path, inputs or {}, option)
    try:
        file, finish, discard = _open(path)
    except OSError as error:
        raise Mistake(f"{option} {path}: cannot be written ({error.strerror or error})") from None
    try:
        yield file
        finish()
    except OSError as error:
        if error.filename or isinstance(error, BrokenPipeError):  # the command's own; or the reader is gone
            raise
        raise Failure(f"{option} {path}: cannot be written ({error.strerror or error})") from None
    finally:
        discard()


def _open(path):
    """Returns (file, function that finishes it, function that cleans up); a regular file has a temporary name until then."""
    number = _descriptor(path)
    if number is not None or not is_plain(path):
        file = os.fdopen(os.dup(number), "w", encoding="utf-8") if number is not None else _open_special(path)
        return file, file.close, lambda: _close(file)
    target = os.path.realpath(path)  # a link remains
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise PermissionError(13, "it is read-only")
    part = os.path.join(os.path.dirname(target), f".{os.getpid()}-{abs(hash(target)):x}.part")
    mode = stat.S_IMODE(os.stat(target).st_mode) if os.path.exists(target) else None
    file = open(part, "w", encoding="utf-8")  # noqa: SIM115  closed by the functions below
    if mode is not None:
        os.chmod(part, mode)

    def discard():
        _close(file)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)

    return file, lambda: _finish(file, target), discard


def _close(file):
    with contextlib.suppress(OSError, ValueError):
        file.close()


def _descriptor(path):
    """Returns the file descriptor of this process that a path such as /dev/stdout names; None if it names none."""
    match = DESCRIPTOR.fullmatch(str(path))
    return int(match[1]) if match else STREAMS.get(str(path))


def _open_special(path):
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return open(path, "w", encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        return io.TextIOWrapper(connection.makefile("wb"), encoding="utf-8")


@contextlib.contextmanager
def naming(to: AnyPath) -> Iterator[None]:
    """Turns errors while a folder is written into a `Mistake` or a `Failure` that names it."""
    try:
        yield
    except (FileExistsError, FileNotFoundError, ValueError) as error:
        raise Mistake(described(error)) from None
    except OSError as error:
        raise Failure(f"--to {to}: cannot be written ({error.strerror or error})") from None

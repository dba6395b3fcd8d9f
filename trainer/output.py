"""Where results go: JSON on standard output, and files named by `--output`. Imports no framework.

A file appears whole or not at all; a device, a FIFO or a socket is written to as it is; a symbolic link is followed.
"""

import contextlib
import io
import json
import os
import re
import socket
import stat
import sys
from pathlib import Path

from trainer import Failure, Mistake

DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


def json_line(value, encoding="utf-8"):
    r"""Returns a value as one line of JSON that the encoding can hold: what it cannot is written as \uXXXX."""
    line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return json.dumps(value)
    return line


def print_json(value, file=None):
    """Prints a result, by default on standard output; everything else goes to standard error."""
    file = file or sys.stdout
    print(json_line(value, getattr(file, "encoding", None) or "utf-8"), flush=file is sys.stdout, file=file)


def is_plain(path):
    """Says whether a path names a regular file, there or to be: no device, FIFO or socket, no stream of this process."""
    return _descriptor(path) is None and (not os.path.exists(path) or os.path.isfile(path))


def check(path, inputs, option="--output"):
    """Refuses an output that would destroy what the command reads.

    Args:
        path: Where the output goes.
        inputs: {option: path} of what the command reads: a file, or a run folder, of which its own files count.

    Raises:
        Mistake: It is one of the inputs (by another name, too), or a folder.
    """
    if os.path.isdir(path):
        raise Mistake(f"{option} {path}: expected a file, found a folder")
    target = Path(os.path.realpath(path))
    for name, source in inputs.items():
        folder = Path(os.path.realpath(source))
        own = folder.is_dir() and folder in target.parents and _is_of_a_run(target.relative_to(folder).parts[0])
        if own or (os.path.isfile(source) and os.path.exists(path) and os.path.samefile(path, source)):
            raise Mistake(f"{option} {path}: expected another file than {name} {source}, which this command reads")


def _is_of_a_run(name):
    return name in (
        "config.json", "vocab.txt", "tokenizer_config.json", "labels.txt", "model.safetensors", "metrics.json",
        "metrics.jsonl", "tensorboard", "checkpoint",
    )  # fmt: skip


@contextlib.contextmanager
def opened(path, inputs=(), option="--output"):
    """Yields a text file to write to, UTF-8, opened before any work is done; a regular one gets its name at the end.

    Args:
        path: Where it goes. None: standard output.
        inputs: See `check`.

    Raises:
        Mistake: See `check`; or it cannot be written.
        Failure: It could not be written to its end (a full disk).
    """
    if not path:
        yield sys.stdout
        return
    check(path, dict(inputs), option)
    try:
        file, finish, discard = _open(path)
    except OSError as error:
        raise Mistake(f"{option} {path}: cannot be written ({error.strerror or error})") from None
    try:
        yield file
        finish()
    except OSError as error:
        if error.filename or isinstance(error, BrokenPipeError):  # of what the command does meanwhile; nobody reads on
            raise
        raise Failure(f"{option} {path}: cannot be written ({error.strerror or error})") from None
    finally:
        discard()


def _open(path):
    """Returns (file, function that ends it, function that clears up); the file of a regular path bears another name."""
    number = _descriptor(path)
    if number is not None or not is_plain(path):
        file = os.fdopen(os.dup(number), "w", encoding="utf-8") if number is not None else _open_special(path)
        return file, file.close, lambda: _close(file)
    target = os.path.realpath(path)  # a link stays one
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise PermissionError(13, "it is read-only")
    part = os.path.join(os.path.dirname(target), f".{os.getpid()}-{abs(hash(target)):x}.part")
    mode = stat.S_IMODE(os.stat(target).st_mode) if os.path.exists(target) else None
    file = open(part, "w", encoding="utf-8")  # noqa: SIM115  closed by the functions below
    if mode is not None:
        os.chmod(part, mode)

    def finish():
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(part, target)

    def discard():
        _close(file)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)

    return file, finish, discard


def _close(file):
    with contextlib.suppress(OSError, ValueError):
        file.close()


def _descriptor(path):
    """Returns the number of the stream of this process that a path names, as /dev/stdout does; None if it names none."""
    match = DESCRIPTOR.fullmatch(str(path))
    return int(match[1]) if match else STREAMS.get(str(path))


def _open_special(path):
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return open(path, "w", encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        return io.TextIOWrapper(connection.makefile("wb"), encoding="utf-8")

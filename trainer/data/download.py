"""A file from its public address: whole and checked, or absent.

What has been received is kept beside it, in NAME.part, which is never taken for the file: a download that breaks off is
resumed from there, by a later process too, and two processes that want the same file do not fetch it twice. (pooch, the usual
library for this, neither resumes downloads nor knows git's blob ids.)
"""

import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trainer.errors import Failure
from trainer.progress import Bytes, say

TRIES = 4  # in a row without new bytes
PATIENCE = 60  # seconds without new bytes: a host of many addresses is tried at each of them
TIMEOUT = 15  # seconds without a byte
LONGEST_WAIT = 60  # seconds, if a busy server asks for more


def download(url: str, target: Path, blob: str) -> None:
    """Fetches a file, unless another process has just done so.

    Args:
        url: http or https; redirects are followed.
        target: Path of the file to write; its folder is made.
        blob: Git blob id of the content: SHA-1 of b"blob %d\\0" % length + content.

    Raises:
        Failure: No connection, no such address, or another content than `blob`'s; or `target` cannot be written.
    """
    with _made(target) as file:
        if not file:
            return
        say(f"downloading {url}")
        received, length = _fetch(url, file, blob), file.tell()
        if received != blob:
            _empty(file)
            raise Failure(
                f"{url}: expected git blob {blob}, received {received} ({length:,} bytes); nothing was kept. "
                "Something on the way, a proxy or a log-in page, may have answered instead"
            )


def put(target: Path, content: bytes) -> None:
    """Writes a file of the cache, unless another process has just done so.

    Args:
        target: Its path; its folder is made.
        content: Of the file.

    Raises:
        Failure: It cannot be written.
    """
    with _made(target) as file:
        if file:
            _empty(file)
            file.write(content)


@contextlib.contextmanager
def _made(target: Path) -> Iterator[BinaryIO | None]:
    """Yields NAME.part, open at its end and locked, and renames it to `target` afterwards; yields None if `target` exists.

    After an error NAME.part is kept, unless it is empty.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part, target) as file:
            if target.is_file():
                part.unlink(missing_ok=True)
                yield None
                return
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                part.replace(target)
            finally:
                with contextlib.suppress(OSError):
                    file.flush()
                if not os.fstat(file.fileno()).st_size:
                    part.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(f"{error.filename or part}: cannot be written ({error.strerror or error})") from None


def _locked(part, target):
    """Opens the file `part` at its end, once no other process has it locked."""
    while True:
        file = open(part, "a+b")  # noqa: SIM115  the caller closes it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{target.name}: another process is fetching it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink or target.is_file():
            file.seek(0, os.SEEK_END)  # another process may have added to it
            return file
        file.close()  # deleted by the process that had locked it


def _fetch(url, file, blob):
    """Receives the content, in one piece or several; returns its blob id."""
    for again in (True, False):
        in_one_piece = _receive_all(url, file, Bytes())
        file.seek(0)
        received = git_blob(file.read())
        if received == blob or in_one_piece or not again:
            return received
        say(f"what came in pieces is not git blob {blob}; once more, from the beginning")
        _empty(file)


def _receive_all(url, file, progress):
    """Receives the rest of the content; returns whether all of it came in one answer that stated its length."""
    tries, furthest, in_pieces, since = 0, file.tell(), file.tell() > 0, time.monotonic()
    while True:
        try:
            return _receive(url, file, progress) and not in_pieces
        except urllib.error.HTTPError as error:
            if error.code == 416:  # no bytes beyond those received
                return False
            reason = _printable(f"HTTP {error.code} {error.reason}")
            final, asked = error.code < 500 and error.code not in (408, 425, 429), error.headers.get("Retry-After", "")
        except (_Unreachable, http.client.HTTPException) as error:
            reason, final, asked = _printable(error) or type(error).__name__, False, ""
        except ValueError as error:  # a redirection to an invalid address
            reason, final, asked = _printable(error), True, ""
        progress.end()
        if file.tell() > furthest:
            tries, furthest, since = 0, file.tell(), time.monotonic()
        tries, in_pieces = tries + 1, True
        if final or tries == TRIES or time.monotonic() - since > PATIENCE:
            kept = f"; {file.tell():,} bytes are kept, and it goes on from there" if file.tell() else ""
            raise Failure(f"{url}: not downloaded ({reason}){kept}. Name a local file, or set LINEAGE_DATA")
        wait = min(int(asked), LONGEST_WAIT) if re.fullmatch("[0-9]{1,6}", asked) else 2 ** (tries - 1)
        say(f"{reason}; trying again in {wait} s")
        time.sleep(wait)


def _printable(text):
    """Returns the first line of a server's text, without control characters and cut to 200 characters."""
    line = str(text).split("\n")[0]
    return "".join(character if character.isprintable() else " " for character in line)[:200].strip()


class _Unreachable(Exception):
    """The connection failed, stalled or broke off: unlike other `OSError`s, no fault of the disk."""


@contextlib.contextmanager
def _connection():
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except OSError as error:
        reason = getattr(error, "reason", error)  # urllib wraps the cause
        if isinstance(reason, TimeoutError):
            raise _Unreachable(f"nothing came for {TIMEOUT} s") from None
        raise _Unreachable(getattr(reason, "strerror", None) or str(reason)) from None


def _receive(url, file, progress):
    """Adds one answer to `file`; returns whether it stated its length.

    Raises:
        urllib.error.HTTPError, http.client.HTTPException, _Unreachable: It ended early, or never began.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "lineage"}
    if file.tell():
        headers["Range"] = f"bytes={file.tell()}-"
    request = urllib.request.Request(url, headers=headers)
    with _connection():
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    with answer:
        if answer.status != 206:
            _empty(file)
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {file.tell()}-"):
            _empty(file)
            raise _Unreachable("sent another part than was asked for")
        length = answer.headers.get("Content-Length", "")
        total = file.tell() + int(length) if length.isdecimal() else None
        while True:
            with _connection():
                chunk = answer.read1(1 << 16)
            if not chunk:
                break
            file.write(chunk)
            progress.step(file.tell(), total)
    file.flush()
    if total is not None and file.tell() != total:
        raise _Unreachable(f"broke off after {file.tell():,} of {total:,} bytes")
    progress.end()
    return total is not None


def _empty(file):
    file.seek(0)
    file.truncate()


def git_blob(content: bytes) -> str:
    """Returns the git blob id of bytes, as `git hash-object` prints it."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

"""Configurations that come while the server runs, by a call or because the file has changed."""

import contextlib
from collections.abc import Callable

from serving.server import files
from serving.server.console import log
from serving.server.refusal import Refused

Config = tuple[str, bytes]  # (one of these, content)
REQUEST = "request"  # a serialized ModelServerConfig
FILE = "file"  # what --model_config_file holds


class Invalid(ValueError):
    """A configuration that cannot be served; says in one line what was found, and what was expected."""


def read_bytes(path: str) -> bytes:
    """Returns the content of a configuration file; raises `Invalid` if it cannot be read."""
    try:
        return files.read_bytes(files.place(path))
    except OSError as error:
        raise Invalid(f"{path}: cannot be read ({error.strerror})") from None


class Follower:
    """Says when a configuration file has changed; one that cannot be served is tried again, and reported once.

    Args:
        path: The file; what it says now is what is served first.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._taken: bytes | None = None  # content that is served
        self._said = ""
        with contextlib.suppress(Invalid):
            self._taken = read_bytes(path)

    def look(self, take_over: Callable[[Config], None]) -> None:
        """Takes the file over if it has changed, with a function that raises `Refused` if it cannot be served."""
        content = self.news()
        if content is None:
            return
        try:
            take_over((FILE, content))
        except Refused as refusal:
            self.refused(refusal.message)
        except Exception as error:  # a defect must not end the thread
            self.refused(f"{type(error).__name__}: {error}")
        else:
            self.took(content)

    def news(self) -> bytes | None:
        """Returns the file's content, if it is not what is served; None: nothing has to be done."""
        try:
            content = read_bytes(self._path)
        except Invalid as error:
            self.refused(str(error))
            return None
        if content != self._taken:
            return content
        self._said = ""
        return None

    def took(self, content: bytes) -> None:
        """That content is served."""
        self._taken, self._said = content, ""

    def refused(self, error: str) -> None:
        """Its content cannot be served."""
        line = f"{error}; the configuration before is kept"
        line = line if line.startswith(self._path) else f"{self._path}: {line}"
        if line != self._said:
            log(line)
        self._said = line

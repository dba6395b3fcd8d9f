"""A model's configuration, and the state of its versions."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serving.server import files
from serving.server.files import File

if TYPE_CHECKING:  # imports TensorFlow
    from serving.server.models.servable import Servable


# States of tensorflow.serving.ModelVersionStatus
START, LOADING, AVAILABLE, UNLOADING, END = 10, 20, 30, 40, 50


@dataclass
class Version:
    """The state of one version."""

    state: int = START
    error: str = ""
    code: int = 0  # of gRPC
    files: tuple[File, ...] = ()  # of its folder when the last failed attempt to load it began
    servable: "Servable | None" = None
    requests: int = 0  # in progress


@dataclass(frozen=True)
class Logging:
    """Which requests of a model are written as `PredictionLog`s.

    Args:
        prefix: What the names of the files begin with.
        sampling: Part of the requests, 0 to 1.
    """

    prefix: str
    sampling: float


@dataclass
class Model:
    """A model's configuration and its versions."""

    name: str
    base_path: str  # of any file system, see `serving.server.files`; a `Path` is taken, too
    latest: int = 1  # number of the newest versions to serve; 0: all
    specific: tuple[int, ...] = ()  # versions to serve instead
    labels: dict[str, int] = field(default_factory=dict)
    logging: Logging | None = None
    versions: dict[int, Version] = field(default_factory=dict)  # replaced, never changed: any thread may read it
    warnings: tuple[str, ...] = ()  # of the last update
    changing: threading.RLock = field(default_factory=threading.RLock, repr=False)  # held while versions come and go
    retired: bool = False  # no longer configured

    def __post_init__(self) -> None:
        self.base_path = files.place(self.base_path)

    def on_disk(self, warn: Callable[[str], object]) -> dict[int, str]:
        """Returns {version: folder} of the folders whose name is a number; if several have the same, the last by name.

        Raises:
            OSError: The base path does not exist, or cannot be read.
        """
        folders: dict[int, str] = {}
        for name in files.names(self.base_path):
            number, path = version_of(name), os.path.join(self.base_path, name)
            if number is None or files.is_file(path):  # a broken link counts: its target may appear later
                continue
            if number in folders:
                warn(
                    f"Duplicate version directories detected. Version {number} will be loaded from {name}, "
                    f"{os.path.basename(folders[number])} will be ignored."
                )
            folders[number] = path
        return folders

    def aspired(self, warn: Callable[[str], object] = lambda line: None) -> dict[int, str]:
        """Returns {version: folder} of the versions that the policy selects, newest first; raises as `on_disk` does."""
        folders = self.on_disk(warn)
        numbers = sorted(folders, reverse=True)
        if self.specific:
            numbers = [number for number in numbers if number in self.specific]
        elif self.latest:
            numbers = numbers[: self.latest]
        if not numbers:
            warn(self.without_versions())
        return {number: folders[number] for number in numbers}

    def without_versions(self) -> str:
        """Returns what TensorFlow Serving says of a base path without versions."""
        return (
            f"No versions of servable {self.name} found under base path {self.base_path}. "
            "Did you forget to name your leaf directory as a number (eg. '/1/')?"
        )

    def available(self) -> list[int]:
        """Returns the numbers of the versions that can be served."""
        return [number for number, version in self.versions.items() if version.state == AVAILABLE]


def version_of(name: str) -> int | None:
    """Returns the version that a folder's name is, as 7 or 00000007: ASCII digits that fit an int64; else None."""
    if not (name.isascii() and name.isdecimal()) or len(name.lstrip("0")) > 19:
        return None
    number = int(name)
    return number if number < 2**63 else None

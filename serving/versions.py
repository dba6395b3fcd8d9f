"""Which versions of which models are served: watches base paths, loads new versions, then unloads old ones.

As TensorFlow Serving's availability-preserving policy: the old version answers until the new one is ready, and requests
under way keep the version they began with. Better than it: a version that failed to load is tried again when its files
change (a folder that was still being copied).
"""

import os
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from serving.refusal import Refused, cut
from serving.servable import Servable

# States of tensorflow.serving.ModelVersionStatus
START, LOADING, AVAILABLE, UNLOADING, END = 10, 20, 30, 40, 50


MOST_ENDED = 100  # versions that are gone and of which the state is still told


def log(line):
    print(" ".join(line.split()), file=sys.stderr, flush=True)


@dataclass
class Version:
    state: int = START
    error: str = ""
    code: int = 0
    files: tuple = ()  # what lay in the folder when loading was tried
    servable: Servable | None = None
    requests: int = 0  # under way


@dataclass
class Model:
    name: str
    base_path: Path
    latest: int = 1  # serve so many of the newest versions; 0: all
    specific: tuple[int, ...] = ()  # or just these
    labels: dict[str, int] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)  # replaced, never changed: any thread may read it
    complaints: tuple[str, ...] = ()  # what was wrong with its base path at the last look

    def on_disk(self, complain):
        """Returns {version: folder}: every folder whose name is a number; of two for one, the last by name.

        Raises:
            OSError: The base path is not there, or cannot be read.
        """
        with os.scandir(self.base_path) as entries:
            names = sorted(entry.name for entry in entries)
        found = {}
        for name in names:
            number, path = version_of(name), self.base_path / name
            if number is None or os.path.isfile(path):  # but a link that leads nowhere may lead somewhere soon
                continue
            if number in found:
                complain(
                    f"Duplicate version directories detected. Version {number} will be loaded from {name}, "
                    f"{found[number].name} will be ignored."
                )
            found[number] = path
        return found

    def aspired(self, complain=lambda line: None):
        """Returns {version: folder} of the versions that the policy asks for, newest first; raises as `on_disk` does."""
        found = self.on_disk(complain)
        numbers = sorted(found, reverse=True)
        if self.specific:
            numbers = [number for number in numbers if number in self.specific]
        elif self.latest:
            numbers = numbers[: self.latest]
        if not numbers:
            complain(
                f"No versions of servable {self.name} found under base path {self.base_path}. "
                "Did you forget to name your leaf directory as a number (eg. '/1/')?"
            )
        return {number: found[number] for number in numbers}

    def available(self):
        return [number for number, version in self.versions.items() if version.state == AVAILABLE]


def version_of(name):
    """Returns the version that a folder's name is, or None: digits of ASCII that fit 64 bits, as 7 or 00000007."""
    if not (name.isascii() and name.isdecimal()) or len(name.lstrip("0")) > 19:
        return None
    number = int(name)
    return number if number < 2**63 else None


class Models:
    """All models of a server.

    Args:
        models: `Model`s, none loaded yet.
        intra_op_threads: See `Servable`.
    """

    def __init__(self, models, *, intra_op_threads=0):
        self.models = {model.name: model for model in models}
        self.intra_op_threads = intra_op_threads
        self.changed = lambda: None  # called when a version came or went
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def update(self):
        """Looks at every base path once: loads what is new, then unloads what is no longer asked for."""
        for model in self.models.values():
            self._update(model)

    def _update(self, model):
        complaints = []
        try:
            self._update_to(model, model.aspired(complaints.append))
        except FileNotFoundError:  # for a moment, maybe, as when a link is set anew: what is loaded goes on
            complaints.append(f"Could not find base path {model.base_path} for servable {model.name}; trying again")
        except OSError as error:
            complaints.append(f"{model.base_path} cannot be read ({error.strerror}); trying again")
        except Exception as error:  # anything: the next look may find it mended
            complaints.append(f"versions cannot be updated ({type(error).__name__}: {error}); trying again")
        for line in complaints:
            if line not in model.complaints:  # once, not every second
                log(f"{model.name}: {line}")
        model.complaints = tuple(complaints)

    def _update_to(self, model, aspired):
        for number, folder in aspired.items():
            version = model.versions.get(number)
            ended = version is not None and version.state == END
            if version is None or (ended and (not version.error or version.files != _files(folder))):
                self._load(model, number, folder, aspired)
        if not aspired or any(number in aspired for number in model.available()):
            for number in model.available():
                if number not in aspired:
                    self._unload(model, number)

    def watch(self, seconds):
        """Updates every so many seconds until `stop`, a thread a model: a large one does not delay the others."""

        def run(model):
            while not self._stopped.wait(seconds):
                self._update(model)

        for model in self.models.values():
            threading.Thread(target=run, args=[model], name=f"versions of {model.name}", daemon=True).start()

    def stop(self):
        self._stopped.set()

    @contextmanager
    def use(self, spec):
        """Gives (version number, Servable) for a `tensorflow.serving.ModelSpec`, and holds it for the length of the block.

        Raises:
            Refused: With TensorFlow Serving's code and text.
        """
        with self._lock:
            number = self._choose(spec)
            version = self.models[spec.name].versions[number]
            version.requests += 1
        try:
            yield number, version.servable
        finally:
            with self._lock:
                version.requests -= 1
                last = version.state == UNLOADING and version.requests == 0
            if last:
                self._close(self.models[spec.name], number, version)

    def status(self, name):
        """Returns [(version number, Version)] of a model, newest first; none for a model that is not known."""
        with self._lock:
            return sorted(self.models[name].versions.items(), reverse=True) if name in self.models else []

    def _choose(self, spec):
        if not spec.name:
            raise Refused("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        model = self.models.get(spec.name)
        wanted = spec.version.value if spec.HasField("version") else None
        if spec.version_label:
            if not model or spec.version_label not in model.labels:
                raise Refused("INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.version_label}")
            wanted = model.labels[spec.version_label]
        available = model.available() if model else []
        if wanted is None and available:
            return max(available)
        if wanted in available:
            return wanted
        which = f"Latest({spec.name})" if wanted is None else f"Specific({spec.name}, {wanted})"
        raise Refused("NOT_FOUND", f"Servable not found for request: {which}")

    def _load(self, model, number, folder, aspired):
        version = Version(LOADING, files=_files(folder))
        with self._lock:
            model.versions = _without_old(model.versions, aspired) | {number: version}
        began = time.monotonic()
        try:
            servable = Servable(folder, intra_op_threads=self.intra_op_threads)
        except Exception as error:  # anything: a broken model must not end the server or the old version
            with self._lock:
                version.code = getattr(error, "error_code", 2)  # of gRPC; 2 is UNKNOWN
                version.error = cut(str(error) or type(error).__name__)
                version.state = END
            log(f"{model.name} version {number}: not loaded from {folder}: {version.error[:300]}")
        else:
            with self._lock:
                version.servable, version.files, version.state = servable, (), AVAILABLE
            log(f"{model.name} version {number}: loaded from {folder} in {time.monotonic() - began:.1f} s")
        self.changed()

    def _unload(self, model, number):
        """Takes a version out of service; it is closed now, or by the last request under way."""
        version = model.versions[number]
        with self._lock:
            version.state = UNLOADING
            idle = version.requests == 0
        if idle:
            self._close(model, number, version)

    def _close(self, model, number, version):
        try:
            version.servable.close()
        except Exception as error:  # of the old version; the request that held it last has its answer
            log(f"{model.name} version {number}: {type(error).__name__} in closing: {error}")
        with self._lock:
            version.servable, version.state = None, END
        log(f"{model.name} version {number}: unloaded")
        self.changed()


def _without_old(versions, aspired):
    """Returns the versions; of those that ended the newest alone, for their number would grow for ever."""
    ended = sorted(number for number, version in versions.items() if version.state == END and number not in aspired)
    return {number: version for number, version in versions.items() if number not in ended[:-MOST_ENDED]}


def _files(folder):
    """Returns what lies in a folder, sizes and times included; links as links, for they may lead nowhere."""
    try:
        stats = [(str(path), path.lstat()) for path in folder.rglob("*")]
    except OSError:  # changed while we looked
        return ()
    return tuple(sorted((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))

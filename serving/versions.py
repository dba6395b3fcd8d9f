"""Which versions of which models are served: watches base paths, loads new versions, then unloads old ones.

As TensorFlow Serving's availability-preserving policy: the old version answers until the new one is ready, and requests
under way keep the version they began with. Better than it: a version that failed to load is tried again when its files
change (a folder that was still being copied).
"""

import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from serving.servable import Refused, Servable

# States of tensorflow.serving.ModelVersionStatus
START, LOADING, AVAILABLE, UNLOADING, END = 10, 20, 30, 40, 50


def log(line):
    print(line, file=sys.stderr, flush=True)


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
    versions: dict[int, Version] = field(default_factory=dict)

    def on_disk(self):
        """Returns {version: folder}: every folder whose name is a number."""
        if not self.base_path.is_dir():
            return {}
        return {int(path.name): path for path in self.base_path.iterdir() if path.name.isdecimal() and path.is_dir()}

    def aspired(self):
        """Returns {version: folder} of the versions that the policy asks for, newest first."""
        found = self.on_disk()
        numbers = sorted(found, reverse=True)
        if self.specific:
            numbers = [number for number in numbers if number in self.specific]
        elif self.latest:
            numbers = numbers[: self.latest]
        return {number: found[number] for number in numbers}

    def available(self):
        return [number for number, version in self.versions.items() if version.state == AVAILABLE]


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
        try:
            aspired = model.aspired()
        except OSError as error:
            log(f"{model.name}: {model.base_path} cannot be read ({error.strerror}); trying again")
            return
        for number, folder in aspired.items():
            version = model.versions.get(number)
            ended = version is not None and version.state == END
            if version is None or (ended and (not version.error or version.files != _files(folder))):
                self._load(model, number, folder)
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
                self._close(self.models[spec.name], number)

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

    def _load(self, model, number, folder):
        version = Version(LOADING, files=_files(folder))
        with self._lock:
            model.versions[number] = version
        began = time.monotonic()
        try:
            version.servable = Servable(folder, intra_op_threads=self.intra_op_threads)
        except Exception as error:  # anything: a broken model must not end the server or the old version
            version.code = getattr(error, "error_code", 2)  # of gRPC; 2 is UNKNOWN
            version.error = str(error) or type(error).__name__
            version.state = END
            log(f"{model.name} version {number}: not loaded from {folder}: {' '.join(str(error).split())[:300]}")
        else:
            version.state = AVAILABLE
            log(f"{model.name} version {number}: loaded from {folder} in {time.monotonic() - began:.1f} s")
        self.changed()

    def _unload(self, model, number):
        """Takes a version out of service; it is closed now, or by the last request under way."""
        version = model.versions[number]
        with self._lock:
            version.state = UNLOADING
            idle = version.requests == 0
        if idle:
            self._close(model, number)

    def _close(self, model, number):
        version = model.versions[number]
        version.servable.close()
        version.servable, version.state = None, END
        log(f"{model.name} version {number}: unloaded")
        self.changed()


def _files(folder):
    """Returns what lies in a folder, sizes and times included; links as links, for they may lead nowhere."""
    try:
        stats = [(str(path), path.lstat()) for path in folder.rglob("*")]
    except OSError:  # changed while we looked
        return ()
    return tuple(sorted((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))

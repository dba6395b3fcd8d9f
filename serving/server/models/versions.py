"""The served versions of each model: watches the base paths, loads new versions, then unloads old ones.

Follows TensorFlow Serving's availability-preserving policy: the old version answers until the new one is ready, and
requests in progress keep their version. Unlike there, a version that failed to load is retried when its files change,
as when its folder was still being copied.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from google.protobuf.message import Message

from serving.server import files, memory
from serving.server.configuration.settings import Settings
from serving.server.console import log
from serving.server.models.loader import Loader
from serving.server.models.model import AVAILABLE, END, LOADING, UNLOADING, Model, Version
from serving.server.models.servable import DEFAULTS, Servable
from serving.server.refusal import Refused, cut

MAX_ENDED = 100  # ended versions of a model whose state is still reported


class Models:
    """All models of a server.

    Args:
        models: Their configurations, without loaded versions.
        settings: How their versions are loaded and run.
    """

    def __init__(self, models: Iterable[Model], settings: Settings = DEFAULTS) -> None:
        self.models = {model.name: model for model in models}
        self._settings, self._loader = settings, Loader(settings)
        self.changed: Callable[[], None] = lambda: None  # called when a version has loaded, failed or unloaded
        self._lock = threading.Lock()
        self._reloading = threading.Lock()
        self._stopped = threading.Event()
        self._seconds: float | None = None  # between two looks at a base path
        self._retired: dict[str, Model] = {}  # those of earlier configurations

    def update(self) -> None:
        """Reads every base path once: loads new versions, then unloads those that are no longer selected."""
        self._loader.each(self._update, self.models.values())

    def _update(self, model):
        with model.changing:
            if not model.retired:
                self._look(model)

    def _look(self, model):
        warnings: list[str] = []
        try:
            self._update_to(model, model.aspired(warnings.append))
        except FileNotFoundError:  # perhaps briefly, while a link is replaced: loaded versions stay
            warnings.append(f"Could not find base path {model.base_path} for servable {model.name}; trying again")
        except OSError as error:
            warnings.append(f"{model.base_path} cannot be read ({error.strerror}); trying again")
        except Exception as error:  # the next update may succeed
            warnings.append(f"versions cannot be updated ({type(error).__name__}: {error}); trying again")
        for line in warnings:
            if line not in model.warnings:  # once, not at every update
                log(f"{model.name}: {line}")
        model.warnings = tuple(warnings)

    def _update_to(self, model, aspired):
        wanted = []
        for number, folder in aspired.items():
            version = model.versions.get(number)
            ended = version is not None and version.state == END
            if version is None or (ended and (not version.error or version.files != files.tree(folder))):
                wanted.append((number, folder))
        self._loader.each(lambda item: self._load(model, item[0], item[1], aspired), wanted)
        if not aspired or any(number in aspired for number in model.available()):
            for number in model.available():
                if number not in aspired:
                    self._unload(model, number)

    def watch(self, seconds: float) -> None:
        """Updates at that interval until `stop`, in a thread for each model: a large one does not delay others."""

        self._seconds = seconds
        for model in self.models.values():
            self._watch(model)

    def _watch(self, model):
        def run():
            while not self._stopped.wait(self._seconds) and not model.retired:
                self._update(model)

        if self._seconds is not None:
            threading.Thread(target=run, name=f"versions of {model.name}", daemon=True).start()

    def stop(self) -> None:
        """Ends `watch`, and the waiting for full batches."""
        self._stopped.set()
        self._loader.hurry()

    @contextmanager
    def use(self, spec: Message) -> Iterator[tuple[int, Servable]]:
        """Yields (version number, servable) for a `tensorflow.serving.ModelSpec`; it stays loaded until the block ends.

        Raises:
            Refused: With TensorFlow Serving's code and message.
        """
        with self._lock:
            model, number = self._choose(spec)
            version = model.versions[number]
            version.requests += 1
        try:
            yield number, version.servable  # available, so not None
        finally:
            with self._lock:
                version.requests -= 1
                last = version.state == UNLOADING and version.requests == 0
            if last:
                self._close(model, number, version)

    def status(self, name: str) -> list[tuple[int, Version]]:
        """Returns [(version number, version)] of a model, newest first; empty for an unknown model."""
        with self._lock:
            model = self.models.get(name) or self._retired.get(name)
            return sorted(model.versions.items(), reverse=True) if model else []

    def _choose(self, spec):
        if not spec.name:
            raise Refused("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        model = self.models.get(spec.name)
        requested = spec.version.value if spec.HasField("version") else None
        if spec.version_label:
            if not model or spec.version_label not in model.labels:
                raise Refused("INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.version_label}")
            requested = model.labels[spec.version_label]
        available = model.available() if model else []
        if requested is None and available:
            return model, max(available)
        if requested in available:
            return model, requested
        request = f"Latest({spec.name})" if requested is None else f"Specific({spec.name}, {requested})"
        raise Refused("NOT_FOUND", f"Servable not found for request: {request}")

    def reload(
        self,
        models: Iterable[Model],
        *,
        unavailable_labels: bool = False,
        agree: Callable[[], None] = lambda: None,
    ) -> None:
        """Serves these models from now on, and no others; those before answer until these are ready.

        Args:
            models: Their configurations, without loaded versions.
            unavailable_labels: Labels may be for versions that are not loaded.
            agree: Called when they are ready; raises `Refused` if they are not to be served after all.

        Raises:
            Refused: One of them has no version that can be loaded, or a label for one that is not; nothing has changed.
        """
        with self._reloading, ExitStack() as stack:
            loaded: list[tuple[Model, Model, dict[int, str], list[int]]] = []  # (it, configuration, aspired, new ones)
            try:
                pairs = []
                for wanted in models:
                    model = self.models.get(wanted.name)
                    if model is None or model.base_path != wanted.base_path:
                        model = replace(wanted)
                    stack.enter_context(model.changing)
                    pairs.append((model, wanted, set(model.available())))
                results = self._loader.each(lambda pair: self._aspire(*pair[:2]), pairs)
                for (model, wanted, before), (aspired, _) in zip(pairs, results, strict=True):
                    loaded.append((model, wanted, aspired, [n for n in model.available() if n not in before]))
                errors = [error for _, error in results if error]
                if errors:
                    reasons = "".join(f"{error}, " for error in errors)
                    raise Refused("UNKNOWN", f"{len(errors)} model(s) did not become available: {{{reasons}}}")
                for model, wanted, aspired, _ in loaded:
                    for number in () if unavailable_labels else wanted.labels.values():
                        if number not in aspired or number not in model.available():
                            raise Refused(
                                "FAILED_PRECONDITION",
                                f"Request to assign label to version {number} of model {model.name}, "
                                "which is not currently available for inference",
                            )
                agree()
            except BaseException:
                for model, _, _, numbers in loaded:
                    for number in numbers:
                        self._unload(model, number)
                raise
            self._take_over(loaded)

    def _aspire(self, model, wanted):
        """Loads the versions that a configuration asks for; returns ({version: folder}, error if none is available)."""
        aspired, reason = {}, wanted.without_versions()
        try:
            aspired = wanted.aspired()
        except OSError as error:
            reason = f"{wanted.base_path} cannot be read ({error.strerror})"
        missing = [(number, folder) for number, folder in aspired.items() if number not in model.available()]
        self._loader.each(lambda item: self._load(model, item[0], item[1], aspired), missing)
        available = [number for number in model.available() if number in aspired]
        if available:
            return aspired, ""
        if not aspired:
            return aspired, f"{{name: {model.name}}} due to error: {reason}"
        newest = max(aspired)
        return aspired, f"{{name: {model.name} version: {newest}}} due to error: {model.versions[newest].error}"

    def _take_over(self, loaded):
        """Makes loaded models those that are served."""
        before = self.models
        with self._lock:
            for model, wanted, _, _ in loaded:
                model.latest, model.specific, model.labels = wanted.latest, wanted.specific, wanted.labels
                model.logging = wanted.logging
            self.models = {model.name: model for model, _, _, _ in loaded}
            kept = {id(model) for model in self.models.values()}
            retired = [model for model in before.values() if id(model) not in kept]
            self._retired |= {model.name: model for model in retired}
            for name in list(self._retired)[:-MAX_ENDED]:
                del self._retired[name]
        for model, _, aspired, _ in loaded:
            for number in model.available():
                if number not in aspired:
                    self._unload(model, number)
            if before.get(model.name) is not model:
                self._watch(model)
        for model in retired:
            with model.changing:
                model.retired = True
                for number in model.available():
                    self._unload(model, number)
        self.changed()
        log(f"configuration: serving {', '.join(self.models) or 'no model'}")

    def _load(self, model, number, folder, aspired):
        version = Version(LOADING, files=files.tree(folder))
        with self._lock:
            model.versions = _without_old(model.versions, aspired) | {number: version}
        name, retries = f"{model.name} version {number}", self._settings.retries
        while True:
            began = time.monotonic()
            try:
                servable = self._loader.load(folder, name)
            except Exception as error:  # a broken model must not end the server or the old version
                text, code = cut(str(error) or type(error).__name__), getattr(error, "error_code", 2)
                if retries:
                    retries -= 1
                    seconds = self._settings.retry_seconds
                    log(f"{name}: not loaded from {folder}, trying again in {seconds:g} s: {text[:300]}")
                    if not self._stopped.wait(seconds):
                        continue
                with self._lock:
                    version.code, version.error, version.state = code, text, END  # a code of gRPC; 2 is UNKNOWN
                log(f"{name}: not loaded from {folder}: {text[:300]}")
            else:
                with self._lock:
                    version.servable, version.files, version.state = servable, (), AVAILABLE
                log(f"{name}: loaded from {folder} in {time.monotonic() - began:.1f} s")
            return self.changed()

    def _unload(self, model, number):
        """Takes a version out of service; it is closed now, or after its last request in progress."""
        version = model.versions[number]
        with self._lock:
            version.state = UNLOADING
            idle = version.requests == 0
        if idle:
            self._close(model, number, version)

    def _close(self, model, number, version):
        try:
            self._loader.close(version.servable)
        except Exception as error:  # must not fail the request that used the version last
            log(f"{model.name} version {number}: {type(error).__name__} in closing: {error}")
        with self._lock:
            version.servable, version.state = None, END
        memory.unloaded()
        log(f"{model.name} version {number}: unloaded")
        self.changed()


def _without_old(versions, aspired):
    """Returns the versions, of the ended ones only the newest: their number would grow without bound."""
    ended = sorted(number for number, version in versions.items() if version.state == END and number not in aspired)
    return {number: version for number, version in versions.items() if number not in ended[:-MAX_ENDED]}

"""The run folder: what a finished run leaves, and the model that it holds.

config.json        Hugging Face's BERT configuration, and under "lineage" the task and every option of the run
vocab.txt  tokenizer_config.json  labels.txt
model.safetensors  the weights that are kept, by Hugging Face's names
metrics.json       the result; written last, so its presence says that the run is finished
metrics.jsonl      one line a logged step        tensorboard/   the same as curves
checkpoint/        where an unfinished run stands, see `trainer.training.checkpoint`

Imports no framework before it is asked for what a run depends on: to look at a folder takes no time.
"""

import fcntl
import hashlib
import importlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainer import paired, writing
from trainer.errors import Mistake
from trainer.progress import say
from trainer.runs import PRETRAINING, TRAINED


class Folder:
    """A run folder to be, or to go on with.

    Args:
        out: Its path.
        options: Of the run, those that change its result.
        inputs: {name of the option: path} of the files and folders that the run reads.
        overwrite: Whatever run `out` holds may go.
        defaults: What an option is that a run does not name, as runs from before it was there.

    Raises:
        Mistake: `out` is one of the inputs, or holds one.
    """

    def __init__(
        self,
        out: str | Path,
        options: dict[str, Any],
        inputs: dict[str, Path],
        *,
        overwrite: bool,
        defaults: dict[str, Any] | None = None,
    ) -> None:
        self.out, self.options, self.inputs, self.overwrite = Path(out), options, inputs, overwrite
        self.defaults = defaults or {}
        for path in inputs.values():
            if self.out.resolve() in (path.resolve(), *path.resolve().parents):
                raise Mistake(f"{out} holds {path}, which this run reads; give another --out")
        self.fingerprints = {name: fingerprint(path) for name, path in inputs.items()}

    def result(self) -> dict[str, Any] | None:
        """Returns the result of the finished run of these options and inputs that the folder holds, else None: train.

        Raises:
            Mistake: It holds a run of other options or inputs (names the first that differs), or something that is no run.
        """
        out = self.out
        if not out.exists() or (out.is_dir() and {path.name for path in out.iterdir()} <= {"config.json.part"}):
            return None  # a kill may leave that part
        try:
            run = lineage(out)
            options, fingerprints = run["options"], run["fingerprints"]
        except (OSError, ValueError, KeyError, TypeError):
            raise Mistake(f"{out} exists and is no run folder; give another --out") from None
        if self.overwrite:
            return None
        remedy = "give another --out, or --overwrite to start anew"
        for name, value in self.options.items():
            same_content = name in self.inputs and fingerprints.get(name) == self.fingerprints[name]
            before = options.get(name, self.defaults.get(name))
            if before != value and not same_content:
                raise Mistake(f"{out} holds a run with --{name} {before}, not {value}; {remedy}")
        for name, value in self.fingerprints.items():
            if fingerprints.get(name) != value:
                raise Mistake(
                    f"{out} holds a run with --{name} {self.inputs[name]} as it was (SHA-256 {fingerprints.get(name)}...), "
                    f"not as it is now ({value}...); {remedy}"
                )
        if not (out / "metrics.json").is_file():
            return None
        shutil.rmtree(out / "checkpoint", ignore_errors=True)  # where a kill came right after the result
        return json.loads((out / "metrics.json").read_text(encoding="utf-8"))

    def finished(self) -> dict[str, Any] | None:
        """Returns what `result` does, and says so."""
        result = self.result()
        if result:
            say(f"{self.out} holds this run, finished; here is its result (--overwrite trains anew)")
        return result

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Makes the folder if need be, and holds it: no second process trains in it meanwhile.

        Raises:
            Mistake: It cannot be made, or another process holds it.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            writing.sync_folder(self.out.parent)
            descriptor = os.open(self.out, os.O_RDONLY)
        except OSError as error:
            raise Mistake(f"{self.out}: cannot be made ({error.strerror}); give another --out") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
            except BlockingIOError:
                raise Mistake(
                    f"{self.out}: another process trains in this folder; wait for it, or give another --out"
                ) from None
            except OSError as error:
                say(f"{self.out}: cannot be locked ({error.strerror}): see that no other process trains in it")
            yield
        finally:
            os.close(descriptor)

    def start(self, settings: dict[str, Any], files: dict[str, str], computed: dict[str, Any] | None = None) -> None:
        """Writes what a run folder holds from its first moment; with `overwrite`, deletes the run that it held, no more.

        Says so if the run began in another environment.

        Args:
            settings: Of `config.json`; options, fingerprints and environment are added under "lineage".
            files: {name: content} of the other files.
            computed: How, as far as the last bits depend on it: {"threads", "workers"}.
        """
        from trainer.training import checkpoint

        computed = computed or {}
        here = environment() | computed
        if checkpoint.newest(self.out / "checkpoint") and not self.overwrite:
            before = computed | lineage(self.out).get("environment", {})  # older runs do not say how
            for name, value in here.items():
                if before.get(name) != value:
                    say(f"note      begun with {name} {before.get(name)}, here {value}: the last bits may differ")
        if self.overwrite:
            for name in TRAINED:  # the other files are replaced below
                path = self.out / name
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        own = {"options": self.options, "fingerprints": self.fingerprints, "environment": here}
        writing.write_json(self.out / "config.json", settings | {"lineage": settings["lineage"] | own})
        for name, content in files.items():
            writing.write(self.out / name, content)

    def finish(self, content: bytes, result: dict[str, Any]) -> None:
        """Writes a run's weights and result; from then on it is finished, and needs no checkpoint."""
        writing.write(self.out / "model.safetensors", content)
        writing.write_json(self.out / "metrics.json", result)
        shutil.rmtree(self.out / "checkpoint", ignore_errors=True)


def lineage(out: Path) -> dict[str, Any]:
    """Returns what a run's `config.json` says of the run."""
    return json.loads((out / "config.json").read_text(encoding="utf-8"))["lineage"]


def method_of(out: Path) -> str | None:
    """Returns the method of the run of `pretrain` that a folder holds, finished or not; None: it holds another, or none."""
    try:
        run = lineage(out)
        return run["options"]["method"] if run["task"] == PRETRAINING else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def environment() -> dict[str, Any]:
    """Returns what the bits of a run depend on beside its options and data."""
    import keras

    backend = keras.backend.backend()  # TensorFlow, but for `trainer.pretraining.elsewhere.train`
    versions = {name: importlib.import_module(name).__version__ for name in (backend, "keras", "numpy")}
    return versions | {"cores": os.cpu_count(), "machine": platform.machine()}


def fingerprint(path: Path) -> str:
    """Returns the first 16 digits of the SHA-256 of a file, or of the files of a folder of weights."""
    vocabulary = "vocab.txt" if (path / "vocab.txt").is_file() else "tokenizer.json"
    names = ("*config.json", vocabulary, "model.safetensors", "*.index", "*.data-*")
    files = sorted(file for name in names for file in path.glob(name)) if path.is_dir() else paired.names_of(path)
    hasher = hashlib.sha256()
    for file in files:
        try:
            with open(file, "rb") as content:
                hasher.update(hashlib.file_digest(content, "sha256").digest())
        except OSError as error:
            raise Mistake(f"{file}: cannot be read ({error.strerror})") from None
    return hasher.hexdigest()[:16]

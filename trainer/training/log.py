"""The log of a run: metrics.jsonl, a line each logged step and each scored epoch, and the same as TensorBoard's curves."""

import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import tensorflow as tf

from trainer import writing
from trainer.errors import Failure


class Log:
    """Appends lines to RUN/metrics.jsonl, and draws them; a context manager.

    Args:
        out: Run folder.
        size: Bytes of the file that the run's checkpoint knows of; what stands behind them is of steps made again.

    Raises:
        Failure: The file is shorter.
    """

    def __init__(self, out: Path, size: int) -> None:
        self.path = out / "metrics.jsonl"
        self._file = open(self.path, "ab")  # noqa: SIM115  closed by `__exit__`
        writing.sync_folder(out)
        if self._file.tell() < size:
            self._file.close()
            raise Failure(f"{self.path}: expected {size} bytes or more, found less; --overwrite starts anew")
        self._file.truncate(size)
        self._file.seek(size)
        shutil.rmtree(out / "tensorboard", ignore_errors=True)
        self._writer = tf.summary.create_file_writer(str(out / "tensorboard"))
        with open(self.path, encoding="utf-8") as lines:  # no step twice, none missing
            for line in lines:
                self._draw(json.loads(line))

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._writer.close()

    def note(self, line: dict[str, Any]) -> int:
        """Appends a line; returns how long the file is then."""
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        self._draw(line)
        return self._file.tell()

    def sync(self) -> None:
        """Waits until all lines are on the disk."""
        os.fsync(self._file.fileno())

    def content(self) -> bytes:
        return self.path.read_bytes()

    def _draw(self, line):
        values, prefix = (line["dev"], "dev") if "dev" in line else (line, "train")
        with self._writer.as_default():
            for name, value in values.items():
                if name not in ("step", "epoch", "round", "examples", "words") and not isinstance(value, str):
                    tf.summary.scalar(f"{prefix}/{name}", value, values["step"])

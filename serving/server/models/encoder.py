"""A model of sequences, computed by LiteRT: some sequences joined to a row, without padding, on a core of its own."""

import heapq
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from tensorflow.lite.python import interpreter as lite

OUTPUT = "outputs"
MOST_THREADS = 4  # of one row: the matrices of a sentence are small
# Places of a row: the weights, which do not fit into the caches, are read once a row; each place pays for all of its row's places in
# attention's maps. 32 sentences of 22 pieces took 94 ms alone, 74 in rows of 64, 71 of 80 to 120
ROW = 100
ADDED = ("sequences", "positions", "firsts")  # to the inputs of sequences, what tells those of a row apart


class Encoder:
    """A model in LiteRT's form that takes sequences one after the other in one row [1, T, ...], see `models.bert`.

    LiteRT packs the weights once, where TensorFlow packs them at each run, and needs no padding.

    Args:
        content: The model.
        threads: Rows at once; a sequence that is alone, here and now, has up to `MOST_THREADS` of them.

    Raises:
        ValueError: It is no such model.
    """

    def __init__(self, content: bytes, threads: int) -> None:
        self._content, self._threads = content, threads
        self._places = threading.BoundedSemaphore(threads)
        self._callers, self._changing = 0, threading.Lock()
        first = _Interpreter(content, 1)
        self._idle, self._width = {1: deque([first])}, first.width
        self._wide = min(threads, MOST_THREADS)
        if self._wide > 1:
            self._idle[self._wide] = deque([_Interpreter(content, self._wide)])  # packs the weights again
        self._helpers = ThreadPoolExecutor(threads - 1, "encoder") if threads > 1 else None

    def __call__(self, sequences: Mapping[str, np.ndarray], lengths: np.ndarray) -> np.ndarray:
        """Computes the model.

        Args:
            sequences: {input: [N, S, ...]}, padded.
            lengths: [N].

        Returns:
            [N, C], where the model gives one vector a sequence; else [T, C], those of all real places, one sequence after the
            other.

        Raises:
            RuntimeError, ValueError: The model does not take these sequences.
        """
        lengths = lengths.tolist()
        results: dict[int, np.ndarray] = {}
        rows = _rows(lengths, self._threads)
        left = deque(rows)

        def take(interpreter):
            while True:
                try:
                    row = left.popleft()
                except IndexError:
                    return
                outputs = interpreter(_joined(sequences, lengths, row))
                if outputs.ndim == 2:
                    results.update(zip(row, outputs[:, None], strict=True))
                else:
                    ends = np.cumsum([lengths[i] for i in row])[:-1]
                    results.update(zip(row, np.split(outputs[0], ends), strict=True))

        def help_out():
            if left and self._places.acquire(blocking=False):
                with self._borrowed(1) as interpreter:
                    take(interpreter)

        helping = []
        if self._helpers:
            helping = [self._helpers.submit(help_out) for _ in range(min(len(rows), self._threads) - 1)]
        with self._calling() as alone, self._borrowed(self._wide if alone and len(rows) == 1 else 1) as interpreter:
            try:
                take(interpreter)
            finally:
                left.clear()  # of a request that failed, helpers begin no other row
        for helper in helping:
            if not helper.cancel():  # one that has not begun is not needed any more
                helper.result()
        if not results:
            return np.zeros([0, self._width], np.float32)
        return np.concatenate([results[i] for i in range(len(lengths))])

    def close(self) -> None:
        """Forgets the interpreters and the model."""
        if self._helpers:
            self._helpers.shutdown(wait=False)
        self._idle, self._content = {}, b""

    @contextmanager
    def _calling(self) -> Iterator[bool]:
        """Waits for a place; yields whether nobody else calls: several threads of one row would wait for those of others."""
        with self._changing:
            self._callers += 1
            alone = self._callers == 1
        try:
            self._places.acquire()
            yield alone
        finally:
            with self._changing:
                self._callers -= 1

    @contextmanager
    def _borrowed(self, threads) -> Iterator["_Interpreter"]:
        """Yields an interpreter of so many threads, or of one if that is taken; gives back the place of the caller."""
        try:
            try:
                idle = self._idle[threads]
                interpreter = idle.pop()
            except IndexError:
                idle = self._idle[1]
                try:
                    interpreter = idle.pop()
                except IndexError:
                    interpreter = _Interpreter(self._content, 1)
            yield interpreter
            idle.append(interpreter)  # one that failed is not used again
        finally:
            self._places.release()


def _rows(lengths, count):
    """Returns the numbers of the sequences of each row, about as many places in each, a multiple of `count` rows; the longest first."""
    number = -(-sum(lengths) // ROW)
    number = min(-(-number // count) * count, len(lengths))
    rows: list[tuple[int, int, list[int]]] = [(0, i, []) for i in range(number)]
    for i in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        places, order, row = rows[0]
        heapq.heapreplace(rows, (places + lengths[i], order, [*row, i]))
    return [row for _, _, row in sorted(rows, reverse=True)]


def _joined(sequences, lengths, row):
    """Returns the inputs of a row: its sequences one after the other, and `ADDED`."""
    if len(row) == 1:  # the same in fewer steps, of which a short text notices each
        (i,) = row
        inputs = {name: x[i : i + 1, : lengths[i]] for name, x in sequences.items()}
        added = (
            np.zeros([1, lengths[i]], np.int32),
            np.arange(lengths[i], dtype=np.int32)[None],
            np.zeros([1], np.int32),
        )
        return inputs | dict(zip(ADDED, added, strict=True))
    counts = np.array([lengths[i] for i in row])
    firsts = np.cumsum(counts) - counts
    inputs = {name: np.concatenate([x[i, : lengths[i]] for i in row])[None] for name, x in sequences.items()}
    inputs["sequences"] = np.repeat(np.arange(len(row), dtype=np.int32), counts)[None]
    inputs["positions"] = (np.arange(counts.sum()) - np.repeat(firsts, counts)).astype(np.int32)[None]
    inputs["firsts"] = firsts.astype(np.int32)
    return inputs


class _Interpreter:
    """One interpreter of a model: {input: [1, T, ...]} -> its output."""

    def __init__(self, content: bytes, threads: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it will move to another package
            self._interpreter = lite.Interpreter(model_content=content, num_threads=threads)
        runner = self._interpreter.get_signature_runner()
        self._inputs = {name: detail["index"] for name, detail in runner.get_input_details().items()}
        if not self._inputs.keys() >= {*ADDED}:
            found = ", ".join(sorted(self._inputs))
            raise ValueError(
                f"expected the inputs {', '.join(ADDED)}, found {found}: if the export is an older one, export again"
            )
        (output,) = self._interpreter.get_output_details()
        self._output, self.width = output["index"], int(output["shape"][-1])
        self._shapes: dict[str, tuple[int, ...]] = {}

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        interpreter = self._interpreter
        shapes = {name: inputs[name].shape for name in self._inputs}
        if shapes != self._shapes:
            for name, index in self._inputs.items():
                interpreter.resize_tensor_input(index, shapes[name])
            interpreter.allocate_tensors()
            self._shapes = shapes
        for name, index in self._inputs.items():
            interpreter.set_tensor(index, inputs[name])
        interpreter.invoke()
        return interpreter.get_tensor(self._output)

"""A model of sequences, computed by LiteRT: each sequence by itself, at its exact length, on a core of its own."""

import threading
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from tensorflow.lite.python import interpreter as lite

OUTPUT = "outputs"
MOST_THREADS = 4  # of one sequence: the matrices of a sentence are small


class Encoder:
    """A model in LiteRT's form that takes one sequence [1, S, ...] under each of its inputs.

    LiteRT packs the weights once, where TensorFlow packs them at each run, and needs no padding.

    Args:
        content: The model.
        threads: Sequences at once; a sequence that is alone, here and now, has up to `MOST_THREADS` of them.
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
        left = deque(sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True))  # the longest first

        def take(interpreter):
            while True:
                try:
                    i = left.popleft()
                except IndexError:
                    return
                results[i] = interpreter({name: x[i : i + 1, : lengths[i]] for name, x in sequences.items()})

        def help_out():
            if left and self._places.acquire(blocking=False):
                with self._borrowed(1) as interpreter:
                    take(interpreter)

        helping = []
        if self._helpers:
            helping = [self._helpers.submit(help_out) for _ in range(min(len(lengths), self._threads) - 1)]
        with self._calling() as alone, self._borrowed(self._wide if alone and len(lengths) == 1 else 1) as interpreter:
            try:
                take(interpreter)
            finally:
                left.clear()  # of a request that failed, helpers begin no other sequence
        for helper in helping:
            if not helper.cancel():  # one that has not begun is not needed any more
                helper.result()
        if not results:
            return np.zeros([0, self._width], np.float32)
        in_order = [results[i] for i in range(len(lengths))]
        return np.concatenate([x if x.ndim == 2 else x[0] for x in in_order])

    def close(self) -> None:
        """Forgets the interpreters and the model."""
        if self._helpers:
            self._helpers.shutdown(wait=False)
        self._idle, self._content = {}, b""

    @contextmanager
    def _calling(self) -> Iterator[bool]:
        """Waits for a place; yields whether nobody else calls: several threads of one sequence would wait for those of others."""
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


class _Interpreter:
    """One interpreter of a model: {input: [1, S, ...]} -> its output."""

    def __init__(self, content: bytes, threads: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it will move to another package
            self._interpreter = lite.Interpreter(model_content=content, num_threads=threads)
        runner = self._interpreter.get_signature_runner()
        self._inputs = {name: detail["index"] for name, detail in runner.get_input_details().items()}
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

"""The parameters of batching, which are TensorFlow Serving's."""

import threading
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from google.protobuf.message import Message

from serving.server.configuration.flags import CORES


class Invalid(ValueError):
    """Parameters that cannot be used; says so in one line."""


@dataclass(frozen=True)
class Parameters:
    """Those of a queue; see `tensorflow.serving.BatchingParameters`.

    Args:
        most: Rows that one request may have.
        rows: Rows of a batch.
        timeout: Seconds that a request waits for a full batch.
        batches: Full batches that may wait.
        sizes: Allowed numbers of rows, to which a batch is filled up; empty for all.
        pad: Whether requests of unequal lengths are padded.
        split: Whether requests of more than `rows` rows are split.
    """

    most: int = 1000
    rows: int = 1000
    timeout: float = 0.0
    batches: int = 10
    sizes: tuple[int, ...] = ()
    pad: bool = False
    split: bool = False


def parameters_of(proto: Message) -> Parameters:
    """Returns those of a `BatchingParameters`; raises `Invalid`."""
    value: Any = proto  # its fields are declared in `serving.server.configuration.protos`
    given = lambda name, default: getattr(value, name).value if value.HasField(name) else default
    most = given("max_batch_size", Parameters.most)
    for name, low in (
        ("max_batch_size", 1),
        ("batch_timeout_micros", 0),
        ("max_enqueued_batches", 1),
        ("num_batch_threads", 1),
    ):
        if (number := given(name, low)) < low:
            raise Invalid(f"{name} must be {'positive' if low else 'non-negative'}; was {number}")
    sizes = tuple(value.allowed_batch_sizes)
    if sizes and (sizes[0] < 1 or any(first >= second for first, second in pairwise(sizes))):
        raise Invalid(f"allowed_batch_sizes must be positive and in increasing order; were {list(sizes)}")
    if sizes and sizes[-1] != most:
        raise Invalid(
            f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {sizes[-1]}; expected {most}"
        )
    split = given("enable_large_batch_splitting", False)
    rows = given("max_execution_batch_size", most) if split else most
    if not 1 <= rows <= most:
        raise Invalid(
            "When enable_large_batch_splitting is true, max_execution_batch_size must be 1 to max_batch_size, "
            f"which is {most}; was {rows}"
        )
    timeout = min(given("batch_timeout_micros", 0) / 1e6, threading.TIMEOUT_MAX)
    batches = given("max_enqueued_batches", Parameters.batches)
    return Parameters(most, rows, timeout, batches, sizes, value.pad_variable_length_inputs, split)


def threads_of(proto: Message) -> int:
    """Returns the number of batch threads of a `BatchingParameters`."""
    value: Any = proto
    return value.num_batch_threads.value if value.HasField("num_batch_threads") else CORES

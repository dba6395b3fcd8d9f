"""The server's metrics: TensorFlow Serving's under its names, and those that its users miss under ours.

Its histograms count microseconds, in its buckets.
"""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from serving.server.observation.prometheus import Counter, Gauge, Histogram
from serving.server.requests.gate import Gate
from serving.server.requests.request import Request

if TYPE_CHECKING:  # imports TensorFlow
    from serving.server.models.versions import Models


PATH = "/monitoring/prometheus/metrics"  # where they are, unless the configuration says otherwise
MICROSECONDS = [10 * 1.8**i for i in range(33)]
EXAMPLES = [2.0**i for i in range(15)]
SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
STARTED = time.time()
_SERVING, _CORE = ":tensorflow:serving:", ":tensorflow:cc:saved_model:"
NAMELESS = ("status", "metadata")  # over REST, TensorFlow Serving counts them without a name
_APIS = ("Predict", "Classify", "Regress", "MultiInference")  # over gRPC
REQUEST_COUNT = Counter(f"{_SERVING}request_count", "The total number of requests.", ("model_name", "status"))
REQUEST_LATENCY = Histogram(
    f"{_SERVING}request_latency", "Microseconds of requests that were answered.", ("model_name", "API", "entrypoint"), MICROSECONDS
)  # fmt: skip
RUNTIME_LATENCY = Histogram(
    f"{_SERVING}runtime_latency", "Microseconds of them in TensorFlow.", ("model_name", "API", "runtime"), MICROSECONDS
)
EXAMPLE_COUNTS = Histogram(
    f"{_SERVING}request_example_counts", "The number of tensorflow.Examples per request.", ("model",), EXAMPLES
)
EXAMPLE_TOTAL = Counter(
    f"{_SERVING}request_example_count_total", "The total number of tensorflow.Examples.", ("model",)
)
WARMUP_LATENCY = Histogram(
    f"{_SERVING}model_warmup_latency", "Microseconds of warming up.", ("model_path", "status"), MICROSECONDS
)
WARMUP_RECORDS = Counter(
    f"{_SERVING}model_warmup_records_read", "Warm-up requests that were run.", ("model_path", "status")
)
LOAD_ATTEMPTS = Counter(f"{_CORE}load_attempt_count", "Attempts to load a version.", ("model_path", "status"))
LOAD_LATENCY = Counter(f"{_CORE}load_latency", "Microseconds of loading.", ("model_path",))
QUEUING_LATENCY = Histogram(
    f"{_SERVING}batching_session:queuing_latency",
    "Microseconds that requests waited for their batch.",
    ("thread_pool_name",),
    MICROSECONDS,
)
INPUT_BATCH_SIZE = Histogram(f"{_SERVING}batching_session:input_batch_size", "Rows of requests.", (), EXAMPLES)
PROCESSED_BATCH_SIZE = Histogram(
    f"{_SERVING}batching_session:processed_batch_size", "Rows of batches, filled up.", (), EXAMPLES
)
PADDING_SIZE = Histogram(
    f"{_SERVING}batching_session:padding_size", "Rows by which batches were filled up.", (), EXAMPLES
)
WRAPPED_RUN_COUNT = Counter(f"{_SERVING}batching_session:wrapped_run_count", "Batches that were run.")
BATCH_THREADS = "model_server_batch_threads"  # their name
REQUESTS = Counter(
    "lineage_requests_total", "Requests, however they ended.",
    ("model_name", "version", "signature_name", "method", "entrypoint", "status"),
)  # fmt: skip
DURATION = Histogram(
    "lineage_request_duration_seconds", "Seconds from a request's beginning to its answer, of those answered.",
    ("model_name", "signature_name", "method", "entrypoint"), SECONDS,
)  # fmt: skip
MODELS = Gauge(
    "lineage_model_version_state",
    "10 start, 20 loading, 30 available, 40 unloading, 50 ended.",
    ("model_name", "version"),
)
RUNS = Counter(
    "lineage_encoder_runs_total",
    "Runs of versions with an encoder for LiteRT, by what computed it.",
    ("model_path", "runtime"),
)
UNDER_WAY = Gauge("lineage_requests_under_way", "Requests that are open, running, or waiting for a place.", ("state",))
BYTES = Gauge("lineage_bytes_under_way", "Bytes of messages and tensors of all requests under way.")
MEMORY = Gauge("process_resident_memory_bytes", "Resident memory size in bytes.")
CPU = Gauge("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")
DESCRIPTORS = Gauge("process_open_fds", "Number of open file descriptors.")
START = Gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")
CPU.kind = "counter"


@contextmanager
def timed_load(path: str) -> Iterator[None]:
    """Counts an attempt to load the version of a path, and its microseconds."""
    began, status = time.monotonic(), "fail"
    try:
        yield
        status = "success"
    finally:
        LOAD_ATTEMPTS.add(1, path, status)
        LOAD_LATENCY.add(round(1e6 * (time.monotonic() - began)), path)


@contextmanager
def timed_warm_up(path: str) -> Iterator[None]:
    """Counts the microseconds of warming up the version of a path."""
    began, status = time.monotonic(), "INTERNAL"
    try:
        yield
        status = "OK"
    finally:
        WARMUP_LATENCY.add(1e6 * (time.monotonic() - began), path, status)


def watch(gate: Gate, models: "Models") -> None:
    """Counts the requests of a server from now on, and shows the state of its gate, its models and its process."""
    gate.observers.append(_count)
    UNDER_WAY.read = lambda: {(state,): number for state, number in gate.requests().items()}
    BYTES.read = lambda: {(): gate.bytes_under_way}
    MODELS.read = lambda: {
        (name, str(number)): version.state
        for name, model in models.models.items()
        for number, version in model.versions.items()
    }
    MEMORY.read = lambda: {(): _resident()}
    CPU.read = lambda: {(): round(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]), 3)}
    DESCRIPTORS.read = lambda: {(): len(os.listdir("/proc/self/fd"))} if os.path.isdir("/proc/self/fd") else {}
    START.read = lambda: {(): round(STARTED, 3)}


def _resident():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux: the largest so far
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _count(request: Request, code: str, seconds: float) -> None:
    """Counts a request that has ended."""
    api, entrypoint, model = request.api, request.entrypoint, request.model
    rest = entrypoint == "REST"
    if rest or api in _APIS:
        REQUESTS.add(1, model, request.version, request.signature, api, entrypoint, code)
        if rest or api != "MultiInference":
            REQUEST_COUNT.add(1, model, code)
        if code == "OK":
            DURATION.add(seconds, model, request.signature, api, entrypoint)
            if rest or api != "MultiInference":
                REQUEST_LATENCY.add(seconds * 1e6, model, "" if api in NAMELESS else api, entrypoint)
    if request.runtime:
        RUNTIME_LATENCY.add(request.runtime * 1e6, model, api.capitalize() if rest else api, "TF1")
    if request.examples:
        EXAMPLE_COUNTS.add(request.examples, model)
        EXAMPLE_TOTAL.add(request.examples, model)

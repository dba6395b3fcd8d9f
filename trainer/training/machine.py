"""The machine that trains: its devices, and how fast it multiplies matrices."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf

from trainer.errors import Mistake
from trainer.options import Device
from trainer.training.workers import Cluster

SIZE, PRODUCTS, TRIES = 1024, 4, 4
TENSOR_CORES = 8  # compute capability of GPUs that multiply bfloat16 several times as fast as float32


def ceiling() -> float:
    """Returns the floating-point operations a second of the fastest of a few products of 1024 x 1024 float32 matrices."""
    x = tf.random.stateless_normal([SIZE, SIZE], [0, 0]) / SIZE**0.5
    seconds = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        product = x
        for _ in range(PRODUCTS):
            product = tf.linalg.matmul(product, x)
        product.numpy()
        seconds.append(time.perf_counter() - begun)
    return 2 * SIZE**3 * PRODUCTS / min(seconds)


def prepare(options: Device) -> None:
    """Sets what TensorFlow may use, before it computes anything: threads, one GPU of several for each worker of this host, memory.

    Raises:
        Mistake: It has computed before, with others.
    """
    gpus = tf.config.list_physical_devices("GPU")
    cluster = Cluster.of(os.environ.get("TF_CONFIG"))
    try:
        if options.threads:
            tf.config.threading.set_intra_op_parallelism_threads(options.threads)
            tf.config.threading.set_inter_op_parallelism_threads(options.threads)
        if gpus:  # one a process: see `trainer.training.workers`
            gpu = gpus[cluster.beside % len(gpus)]
            tf.config.set_visible_devices([gpu], "GPU")
            if options.gpu_memory:
                limit = tf.config.LogicalDeviceConfiguration(memory_limit=options.gpu_memory)
                tf.config.set_logical_device_configuration(gpu, [limit])
            else:
                tf.config.experimental.set_memory_growth(gpu, True)
    except (RuntimeError, ValueError) as error:
        raise Mistake(
            f"--threads, --gpu_memory: expected before anything was computed in this process ({error})"
        ) from None


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Lets the layers that are made meanwhile compute in a precision: float32, mixed_bfloat16 or mixed_float16."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def free_memory() -> int | None:
    """Returns the bytes that this process may still take, of the machine and of its container (cgroup version 2); None on a GPU and where
    the system does not say."""
    if tf.config.get_visible_devices("GPU"):
        return None
    try:
        of_machine = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = 1024 * int(of_machine["MemAvailable"].split()[0])
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip() if (group / "memory.max").exists() else "max"
        if limit != "max":
            cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
            free = min(free, int(limit) - int((group / "memory.current").read_text()) + int(cached))
    except (OSError, KeyError, ValueError):
        return None
    return free


def threads() -> int:
    """Returns how many compute an operation."""
    return tf.config.threading.get_intra_op_parallelism_threads() or cores()


def cores() -> int:
    """Returns how many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device(precision: str) -> str:
    """Returns what computes, in which precision: a GPU by its name, else the CPU; and the versions of TensorFlow and Keras."""
    versions = f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
    gpus = tf.config.get_visible_devices("GPU")
    if not gpus:
        return f"CPU, {threads()} threads, {precision}; {versions}"
    details = tf.config.experimental.get_device_details(gpus[0])
    others = len(tf.config.list_physical_devices("GPU")) - 1
    unused = f", 1 of {others + 1} (`launch --workers {others + 1}` uses all)" if others else ""
    gains = precision == "float32" and details.get("compute_capability", (0,))[0] >= TENSOR_CORES
    hint = " (--precision mixed_bfloat16 is faster on it)" if gains else ""
    return f"{details.get('device_name', gpus[0].name)}{unused}, {precision}{hint}; {versions}"

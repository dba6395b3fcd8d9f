"""What the benchmarks share: contenders that take turns, of each the best round or the fastest run; their options."""

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def parsed(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, int, Callable[[], float]]:
    """Returns (options, threads, clock) of a benchmark: adds --cpu_time and --json, and gives TensorFlow and PyTorch as many
    threads as `OMP_NUM_THREADS` says, before they compute anything."""
    parser.add_argument(
        "--cpu_time", action="store_true", help="count CPU seconds, of OMP_NUM_THREADS=1 on a busy machine"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to, too")
    options = parser.parse_args()
    threads = int(os.environ["OMP_NUM_THREADS"])
    limit_threads(threads)
    return options, threads, time.process_time if options.cpu_time else time.perf_counter


def limit_threads(threads: int) -> None:
    """Gives TensorFlow and PyTorch so many threads, before they compute anything."""
    import tensorflow as tf
    import torch

    torch.set_num_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def best_of(
    contenders: Mapping[str, Callable[[Any], Any]],
    data: Sequence[Any],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Returns the seconds of each contender's best round over all batches, see `best`."""

    def over_all(step):
        return lambda: [step(batch) for batch in data]

    return best({name: over_all(step) for name, step in contenders.items()}, rounds, clock)


def best(
    contenders: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Returns the seconds of each contender's best round; they take turns, and the first of `rounds` + 1 warms up.

    On a busy machine `time.process_time`, of one thread, says more.
    """
    found = dict.fromkeys(contenders, float("inf"))
    for number in range(rounds + 1):
        for name, run in contenders.items():
            begun = clock()
            run()
            if number:
                found[name] = min(found[name], clock() - begun)
    return found


def fastest(contenders: Mapping[str, Callable[[], Any]], rounds: int, seconds: float) -> dict[str, float]:
    """Returns the milliseconds of the fastest run of each contender; they take turns, each for so many seconds, and the first of
    `rounds` + 1 runs each once, to warm up."""
    found = dict.fromkeys(contenders, float("inf"))
    for number in range(rounds + 1):
        for name, run in contenders.items():
            ends, ran = time.perf_counter() + (seconds if number else 0), False
            while not ran or time.perf_counter() < ends:
                begun, ran = time.perf_counter(), True
                run()
                if number:
                    found[name] = min(found[name], 1000 * (time.perf_counter() - begun))
    return found

"""What the benchmarks of training steps share: contenders that take the same batches in turn, and a step as PyTorch makes it."""

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import torch


def parsed(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, int, Callable[[], float]]:
    """Returns (options, threads, clock) of a benchmark: adds --cpu_time and --json, and gives TensorFlow and PyTorch as many
    threads as `OMP_NUM_THREADS` says, before they compute anything."""
    parser.add_argument(
        "--cpu_time", action="store_true", help="count CPU seconds, of OMP_NUM_THREADS=1 on a busy machine"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to, too")
    options = parser.parse_args()
    threads = int(os.environ["OMP_NUM_THREADS"])
    torch.set_num_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return options, threads, time.process_time if options.cpu_time else time.perf_counter


def best_of(
    contenders: Mapping[str, Callable[[Any], Any]],
    data: Sequence[Any],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Returns the seconds of each contender's best round over all batches; the first of `rounds` + 1 warms up.

    On a busy machine `time.process_time`, of one thread, says more.
    """
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds + 1):
        for name, step in contenders.items():
            begun = clock()
            for batch in data:
                step(batch)
            best[name] = min(best[name], clock() - begun)
    return best


def torch_step(model: torch.nn.Module, loss_of: Callable[[Any], torch.Tensor], rate: float) -> Callable[[Any], float]:
    """Returns a step, batch -> loss: forward, backward, clipping at 1, AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)

    def step(batch):
        loss = loss_of(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step

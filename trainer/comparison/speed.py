"""How many rows a second trained models answer, measured so that the figures compare: in one process, the models in turn."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from trainer.data import datasets, files
from trainer.options import Columns
from trainer.progress import say
from trainer.runs.run import Run
from trainer.tasks.table import requests

BATCH = 32  # rows at once
ROWS = 512  # of the dev data, the first so many
PASSES = 5  # over all rows, after one that is not counted


def answers_per_second(folders: Mapping[str, Path], dev: str) -> tuple[dict[str, float], int]:
    """Measures how many rows a second runs answer, from strings to decoded answers: the median of several passes.

    Each pass goes over all models in turn, so that what else the machine does meets all alike.

    Args:
        folders: {name: run folder}.
        dev: Data to answer, a path or a name.

    Returns:
        ({name: rows a second}, the number of rows).

    Raises:
        Mistake: The data cannot be read; a run cannot be loaded.
    """
    passes, number = {}, 0
    for name, folder in folders.items():
        run = Run(folder)
        rows = _rows(run, dev)
        passes[name], number = _pass(run, rows), len(rows)
    say(f"speed     {number} rows in batches of {BATCH}, median of {PASSES} passes over {len(passes)} models in turn")
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for one in passes.values():
        one()  # traces, and fills caches
    for _ in range(PASSES):
        for name, one in passes.items():
            began = time.perf_counter()
            one()
            seconds[name].append(time.perf_counter() - began)
    return {name: number / statistics.median(values) for name, values in seconds.items()}, number


def _rows(run, dev):
    options = run.lineage["options"]
    path = datasets.path_of(dev, "dev", run.task_name)
    column = None if files.has_named_columns(path) else run.column
    layout = Columns().layout(run.task, run.task_name, options)
    labels, fields = run.setup.labels, [run.fields]
    given = files.given(path, run.task, labels, inputs=fields, limit=ROWS, column=column, layout=layout)
    return given.rows


def _pass(run, rows):
    """Returns a function that answers all rows once."""
    functions = run.functions()
    batches = [
        (functions[name], [tf.constant(values) for values in inputs.values()])
        for name, inputs, _ in requests(run.task, rows, BATCH)
    ]

    def answer():
        for function, inputs in batches:
            for output in function(*inputs).values():
                output.numpy()

    return answer

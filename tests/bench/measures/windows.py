"""Fine-tuning MiniLM on SQuAD's questions, in windows of 384 pieces: windows a second, and the memory of a full batch.

Each contender has processes of its own, for its memory and for its speed, which is measured in turn on real windows, in batches at
random: transformers pads them, ours computes real places alone. Memory is the most that the process ever held (VmHWM) after two
steps of a batch of 32 windows without a place to spare. (KerasHub held 8.4 GB; beside the others it does not fit into 24.)
"""

import argparse
import json
import pickle
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np

from tests.bench.report import Measure
from tests.bench.turns import best

BATCH, BATCHES, LENGTH, QUESTIONS = 32, 3, 384, 3000
ROUNDS = 2  # at most: each takes a minute
STEPS = 2  # for memory: the second holds what the optimizer keeps, too
CONTENDERS = {  # name: module of `tests.bench.contenders`, arguments of its `finetuning`
    "ours": ("ours", {"texts": 2}),
    "ours, recomputing": ("ours", {"texts": 2, "recompute": True}),
    "transformers": ("pytorch", {}),
}


def measure(options):
    from tests.bench.measures import examples
    from trainer.runs.blueprint import Blueprint
    from trainer.weights import hub

    folder = hub.folder_of("minilm")
    data = examples.read(folder, "qa", "squad1", LENGTH, limit=QUESTIONS, doc_stride=128, max_answer_length=30)
    plans = examples.plans(data, BATCH, BATCHES) | {"full": [np.flatnonzero(data.lengths == LENGTH)[:BATCH]]}
    batches = {name: examples.batches_of(data, plan) for name, plan in plans.items()}
    assert examples.padding(batches["full"]) == 0 and len(batches["full"][0][1]) == BATCH
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "batches"
        path.write_bytes(pickle.dumps(batches))
        memory, seconds = in_turn(folder, path, min(options.rounds, ROUNDS))
    lengths = [length for plan in plans["random"] for length in data.lengths[plan]]
    flops = examples.flops(Blueprint.of_weights(folder).config, lengths, training=True)
    rates = {name: len(lengths) / value for name, value in seconds.items()}
    planned, random = (f"{examples.padding(batches[name]):.0%}" for name in ("planned", "random"))
    note = f"batches of {BATCH}; {np.mean(lengths):.0f} pieces on average; padding: planned {planned}, random {random}"
    return [
        Measure("windows", rates, "windows/s", flops=flops / len(lengths), notes=[note]),
        Measure("windows, memory", memory, "GB"),
    ]


def in_turn(folder, path, rounds):
    """Returns ({contender: GB}, {contender and batches: seconds of the best round}); `path`: of the batches."""
    memory = {}
    for name in CONTENDERS:  # one after the other: together they would not fit
        worker = Worker(name, folder, path)
        memory[name] = [worker("full") for _ in range(STEPS)][-1]
        worker.end()
    workers = {name: Worker(name, folder, path) for name in CONTENDERS}
    try:
        runs = {"ours, planned batches": lambda: workers["ours"]("planned")}
        runs |= {f"{name}, random batches": lambda worker=worker: worker("random") for name, worker in workers.items()}
        return memory, best(runs, rounds)
    finally:
        for worker in workers.values():
            worker.end()


class Worker:
    """A process that trains as one contender when it is told to."""

    def __init__(self, name, folder, path):
        command = [sys.executable, "-m", "tests.bench.measures.windows", name, str(folder), str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, batches):
        """Has it make a step of each batch; returns the GB that it held at most until now."""
        if self._process.poll() is None:
            print(batches, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(self._process.args)} ended with {self._process.wait()}")
        return json.loads(line)

    def end(self):
        self._process.communicate()


def main():
    """Makes a step of each batch of those that a line names, and prints the GB that this process held at most; and so on."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("batches", type=Path, help="{name: batches}")
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # frameworks print, too
    module, arguments = CONTENDERS[options.name]
    ready = import_module(f"tests.bench.contenders.{module}").finetuning(options.folder, "qa", 2, **arguments)
    runs = {name: ready(batches) for name, batches in pickle.loads(options.batches.read_bytes()).items()}
    for line in sys.stdin:
        runs[line.strip()]()
        held = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        print(int(held[1]) * 1024 / 1e9, file=answers, flush=True)


if __name__ == "__main__":
    main()

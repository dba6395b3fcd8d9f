"""Fine-tuning MiniLM on SQuAD's questions, in windows of 384 pieces: windows a second, and the memory of a full batch.

Speed on real windows, in batches at random: transformers pads them, ours computes real places alone. Memory is the most that a
process of a contender alone ever held (VmHWM), which makes two steps of a batch of 32 windows without a place to spare.
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

BATCH, BATCHES, LENGTH, QUESTIONS = 32, 4, 384, 3000
STEPS = 2  # for memory: the second holds what the optimizer keeps, too
CONTENDERS = {  # name: module of `tests.bench.contenders`, arguments of its `finetuning`
    "ours": ("ours", {"texts": 2}),
    "transformers": ("pytorch", {}),
    "KerasHub": ("kerashub", {}),
}


def measure(options):
    from tests.bench.measures import examples
    from tests.bench.turns import best
    from trainer.runs.blueprint import Blueprint
    from trainer.weights import hub

    folder = hub.folder_of("minilm")
    data = examples.read(folder, "qa", "squad1", LENGTH, limit=QUESTIONS, doc_stride=128, max_answer_length=30)
    plans = examples.plans(data, BATCH, BATCHES)
    planned, random = (examples.batches_of(data, plans[name]) for name in ("planned", "random"))
    full = examples.batches_of(data, [np.flatnonzero(data.lengths == LENGTH)[:BATCH]])
    assert full[0][0]["mask"].all() and len(full[0][1]) == BATCH
    runs = {f"{name}, random batches": contender(name, folder, random) for name in CONTENDERS}
    runs = {"ours, planned batches": contender("ours", folder, planned), **runs}
    lengths = [length for plan in plans["random"] for length in data.lengths[plan]]
    flops = examples.flops(Blueprint.of_weights(folder).config, lengths, training=True)
    rates = {name: len(lengths) / seconds for name, seconds in best(runs, options.rounds).items()}
    note = f"batches of {BATCH}; {np.mean(lengths):.0f} pieces on average, padding: planned {examples.padding(planned):.0%}, "
    note += f"random {examples.padding(random):.0%}"
    return [
        Measure("windows", rates, "windows/s", flops=flops / len(lengths), notes=[note]),
        Measure("windows, memory", {name: memory(name, folder, full) for name in CONTENDERS}, "GB"),
    ]


def contender(name, folder, batches):
    """Returns what makes a step of each batch."""
    module, arguments = CONTENDERS[name]
    return import_module(f"tests.bench.contenders.{module}").finetuning(folder, "qa", 2, batches, **arguments)


def memory(name, folder, batches):
    """Returns the GB that a process which trains alone held at most."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "batches"
        path.write_bytes(pickle.dumps(batches))
        command = [sys.executable, "-m", "tests.bench.measures.windows", name, str(folder), str(path)]
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(process.stdout.splitlines()[-1]) / 1e6


def main():
    """Trains as one contender, and prints the kB that this process held at most."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("batches", type=Path, help="written by `memory`")
    options = parser.parse_args()
    run = contender(options.name, options.folder, pickle.loads(options.batches.read_bytes()))
    for _ in range(STEPS):
        run()
    print(re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1])


if __name__ == "__main__":
    main()

"""Two workers against one: are the losses the same, are the weights of both, is it worth it, and does a killed run end the same?

    python -m tests.bench.workers [--model mini] [--rounds 2] [--steps 12] [--kill]

BERT with random weights is pretrained (masked words, sequences of 128 pieces, 32 a step, no dropout) on a text that is written
here: by one worker on one core, and by two on a core each, in turn. Printed: the largest difference of their losses at a step,
whether the weights of the two workers are equal to the bit, sequences a second by the clock, and the CPU seconds of a step,
which other work on the machine hardly changes; what is compiled first is left out. `--kill` kills the second worker in the
middle of a run with dropout, gives the same command again, and compares the digest with that of an undisturbed run.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BATCH, LENGTH, WORDS = 32, 128, 8000
LIMIT_S = 3000  # of one process


def main():
    if sys.argv[1:2] == ["worker"]:
        return work(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--rounds", type=int, default=2, help="runs of one and of two workers each")
    parser.add_argument("--steps", type=int, default=12, help="of a run, a multiple of 4; the first 4 are not timed")
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lineage-workers.") as name:
        folder = Path(name)
        write_text(folder)
        command = command_of(folder, options)
        if options.kill:
            return compare_killed(folder, command)
        print(f"load average before: {os.getloadavg()[0]:.1f}, of {os.cpu_count()} cores")
        runs = [[run(folder / f"{number}-{i}", command, number) for number in (1, 2)] for i in range(options.rounds)]
        print(f"load average after: {os.getloadavg()[0]:.1f}")
    for one, two in runs:
        report(one, two)


def write_text(folder):
    draw = random.Random(0)
    words = [f"w{i}" for i in range(WORDS)]
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    documents = [" ".join(draw.choices(words, k=LENGTH - 2)) for _ in range(1000)]
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n")


def command_of(folder, options):
    flags = [f"--text={folder}/text.txt", f"--vocabulary={folder}/vocab.txt", f"--model={options.model}"]
    flags += [f"--batch_size={BATCH}", f"--max_length={LENGTH}", "--objectives=mlm", "--masking=pieces", "--short=0"]
    flags += [f"--steps={options.steps}", "--evaluate_every=4", "--dev_limit=8", "--seed=1", "--learning_rate=1e-3"]
    return ["pretrain", "bert", *flags, *(() if options.kill else ("--dropout=0",))]


def work(folder, arguments):
    """Is one worker, which notes its losses, times and weights in `folder`."""
    from trainer import quiet  # noqa: F401  isort: skip
    from trainer.__main__ import main as train
    from trainer.training import checkpoint, loop

    noted: dict[str, Any] = {"rounds": []}
    steps_of, make = loop.Training._steps_of, loop.Training.run

    def timed(self, epoch):
        wall, cpu, first = time.perf_counter(), time.process_time(), self.state.step
        made = steps_of(self, epoch)
        seconds = time.perf_counter() - wall, time.process_time() - cpu
        noted["rounds"].append([self.state.step - first, *seconds])
        return made

    def made(self):
        result = make(self)
        noted["weights"] = checkpoint.digest(checkpoint.arrays_of(self.work.model.trainable_variables))
        (folder / f"worker-{self.workers.index}.json").write_text(json.dumps(noted))
        return result

    loop.LOG_EVERY, loop.Training._steps_of, loop.Training.run = 1, timed, made
    train(arguments)


def run(folder, command, number):
    """Trains with so many workers, a core each; returns what they noted."""
    from trainer.commands import launch

    folder.mkdir()
    program = [sys.executable, "-m", "tests.bench.workers", "worker", str(folder)]
    command = [*command, f"--out={folder}/run"]
    cores = sorted(os.sched_getaffinity(0))[:number]
    os.sched_setaffinity(0, cores)
    try:
        if number == 1:
            with open(folder / "log", "w") as log:
                subprocess.run([*program, *command], cwd=ROOT, check=True, timeout=LIMIT_S, stdout=log, stderr=log)
        else:
            launch.PROGRAM = tuple(program)
            with open(folder / "log", "w") as log, contextlib.redirect_stderr(log):
                launch.run(launch.Launch(workers=number, command=command))
    finally:
        os.sched_setaffinity(0, range(os.cpu_count()))
    losses = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    notes = [json.loads((folder / f"worker-{i}.json").read_text()) for i in range(number)]
    return {"losses": [line["loss"] for line in losses if "dev" not in line], "workers": notes}


def report(one, two):
    pairs = zip(one["losses"], two["losses"], strict=True)
    difference = max(abs(a - b) / abs(a) for a, b in pairs)
    equal = len({worker["weights"] for worker in two["workers"]}) == 1
    rates, costs = [], []
    for found in (one, two):
        of_each = [[sum(column) for column in zip(*worker["rounds"][1:], strict=True)] for worker in found["workers"]]
        rates.append(min(BATCH * steps / wall for steps, wall, _ in of_each))
        costs.append([cpu / steps for steps, _, cpu in of_each])
    print(
        f"losses of {len(one['losses'])} steps differ by {difference:.1e} at most; weights of the two workers "
        f"{'equal to the bit' if equal else 'DIFFERENT'}\n"
        f"sequences a second: {rates[0]:.2f} and {rates[1]:.2f}, {rates[1] / rates[0]:.2f} times; CPU seconds a step: "
        f"{costs[0][0]:.2f} and {', '.join(f'{cost:.2f}' for cost in costs[1])}, {costs[0][0] / max(costs[1]):.2f} times"
    )


def compare_killed(folder, command):
    launched = [sys.executable, "-m", "trainer", "launch", "--workers=2", "--", *command, "--checkpoint_every=0"]
    undisturbed, _ = end([*launched, f"--out={folder}/undisturbed"])
    process = subprocess.Popen([*launched, f"--out={folder}/killed"], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        said.append(line)
        if "round 1/" in line:
            (children,) = Path(f"/proc/{process.pid}/task").glob("*/children")
            os.kill(int(children.read_text().split()[1]), signal.SIGKILL)
            killed = time.monotonic()
    status, seconds = process.wait(LIMIT_S), time.monotonic() - killed
    print(f"the second worker killed: all ended after {seconds:.0f} s, status {status}; {said[-1].strip()}")
    again, log = end([*launched, f"--out={folder}/killed"])
    resumed = re.search(r"from step \d+ of \d+", log)
    print(f"the same command again: {resumed[0] if resumed else 'NOT RESUMED'}")
    print(f"digests: undisturbed {undisturbed['digest']}, killed {again['digest']}")
    sys.exit(0 if undisturbed["digest"] == again["digest"] and status and resumed else 1)


def end(command):
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout), process.stderr


if __name__ == "__main__":
    main()

"""What the commands take beside their work: the seconds from a command to its first answer, step or request.

    python -m tests.bench.costs [--before DIR] [--rounds 5] [--init minilm]

Trains four tiny runs and exports five models (a minute or two), then runs each command in a process of its own, so many
rounds; with `--before`, another checkout with its own `.venv`, both in turn. Prints its table last: seconds on the clock and of the
CPU, the median of the rounds. On a busy machine those of the CPU say more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.conftest import ROOT

SAMPLES = ROOT / "trainer" / "samples"
ROWS = {
    "tagging": {"words": ["She", "lives", "in", "Paris"], "tags": ["PRON", "VERB", "ADP", "PROPN"]},
    "qa": {"question": "Who?", "context": "It was Ada.", "answers": {"text": ["Ada"], "answer_start": [7]}},
}


def runs_of(folder, init):
    """Trains a run of each kind, exports them; returns the arguments of the commands that are measured, by name."""
    train = SAMPLES / "sentiment.train.txt"
    options = {
        "sentiment": ["sentiment", "--init", init, "--train", train],
        "sentiment-zh": ["sentiment", "--init", "nano", "--train", SAMPLES / "sentiment-zh.train.txt"],
    }
    for task, row in ROWS.items():
        path = folder / f"{task}.jsonl"
        path.write_text(f"{json.dumps(row)}\n" * 8, encoding="utf-8")
        options[task] = [task, "--init", init, "--train", path]
    config = []
    for name, given in options.items():
        python(ROOT, "trainer", "finetune", *given, "--epochs", 1, "--out", folder / name)
        python(ROOT, "serving.export", folder / name, "--to", folder / "exports" / name)
        config.append(name)
    python(ROOT, "serving.export", "nano", "--to", folder / "exports" / "fill_mask")
    served = [(name, name) for name in (*config, "fill_mask")] + [("sentiment-2", "sentiment")]
    lines = [f'config {{ name: "{name}" base_path: "{folder / "exports" / base}" }}' for name, base in served]
    (folder / "models.config").write_text(f"model_config_list {{ {' '.join(lines)} }}", encoding="utf-8")
    run = folder / "sentiment"
    return {
        "trainer --help": ["trainer", "--help"],
        "predict, one text": ["trainer", "predict", run, "--text", "a fine film"],
        "evaluate, 24 texts": ["trainer", "evaluate", run, "--data", SAMPLES / "sentiment.dev.txt"],
        "finetune, one step": [
            *("trainer", "finetune", *options["sentiment"], "--limit", 32, "--batch_size", 32, "--epochs", 1),
            *("--out", folder / "again", "--overwrite"),
        ],
        "export, of a run of qa": ["serving.export", folder / "qa", "--to", folder / "exports-again"],
        "server ready, six models": [
            *("serving.server", "--port", 0, "--grpc_socket_path", folder / "socket"),
            *("--model_config_file", folder / "models.config"),
        ],
    }


def python(root, module, *arguments):
    """Runs a module to its end, a server until it serves; returns its seconds on the clock and of the CPU."""
    command = [root / ".venv" / "bin" / "python", "-m", module, *map(str, arguments)]
    began, used = time.monotonic(), os.times()
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("serving "):
            break
    seconds = time.monotonic() - began
    if line_of_server := said and said[-1].startswith("serving "):
        process.terminate()
    process.stderr.read()
    if process.wait() or (module == "serving.server" and not line_of_server):
        sys.exit(f"{' '.join(map(str, command))}: status {process.returncode}\n{''.join(said)}")
    if not line_of_server:
        seconds = time.monotonic() - began
    after = os.times()
    cpu = after.children_user - used.children_user + after.children_system - used.children_system
    return seconds, cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout, measured in turn with this one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--init", default="minilm", help="weights of the English runs")
    options = parser.parse_args()
    roots = {"before": options.before.resolve()} if options.before else {}
    roots["now"] = ROOT
    taken = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        commands = runs_of(Path(folder), options.init)
        for i in range(options.rounds):
            for name, command in commands.items():
                for root, path in roots.items():
                    taken[name, root].append(python(path, *command))
            print(f"round {i + 1} of {options.rounds}", file=sys.stderr, flush=True)
    print(f"{'':26}" + "".join(f"{root:>12}  (CPU)" for root in roots))
    for name in commands:
        medians = [[statistics.median(values) for values in zip(*taken[name, root], strict=True)] for root in roots]
        print(f"{name:26}" + "".join(f"{seconds:10.2f} s  ({cpu:4.1f})" for seconds, cpu in medians))


if __name__ == "__main__":
    main()

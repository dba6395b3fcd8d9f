"""`make compatibility`: an export answers the same in the TensorFlow versions that the stock serving images hold.

    python -m tests.bench.compatibility [--run RUN] [--data FILE] [--limit 200]

Exports RUN (by default a tiny model, trained here for the purpose), asks `trainer predict`, and loads the export through a
session in TF 2.12.1 + TF Text 2.12.1 and in 2.20.0 + 2.20.0 (virtual environments that `make compatibility` builds).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

import numpy as np

from serving.export import export
from serving.servable import Servable
from tests.conftest import ROOT, write_bert_folder, write_examples
from trainer.__main__ import main as trainer
from trainer.commands.predict import predict
from trainer.data import files
from trainer.runs.run import Run
from trainer.tasks.table import answers, requests

VERSIONS = ("2.12.1", "2.20.0")
BATCH = 32
TOLERANCE = 1e-4

# Runs in the other environment: the outputs of every request, [signature, inputs], through a session.
SCRIPT = """
import json, sys
import tensorflow as tf, tensorflow_text
session = tf.compat.v1.Session(graph=tf.Graph())
with session.graph.as_default():
    signatures = tf.compat.v1.saved_model.loader.load(session, ["serve"], sys.argv[1]).signature_def
for name, inputs in json.load(open(sys.argv[2])):
    outputs = {output: info.name for output, info in signatures[name].outputs.items()}
    result = session.run(outputs, {signatures[name].inputs[field].name: value for field, value in inputs.items()})
    print(json.dumps({name: value.tolist() for name, value in result.items()}, default=lambda value: value.decode()))
print(json.dumps([tf.__version__, tensorflow_text.__version__]))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="run folder; default: a tiny model")
    parser.add_argument("--data", help="file of rows; default: what the tiny model was scored on")
    parser.add_argument("--limit", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if not options.run:
            init = write_bert_folder(folder / "tiny")
            train, options.data = write_examples(folder / "train.txt"), write_examples(folder / "dev.txt", 200, seed=1)
            options.run = folder / "run"
            trainer(
                [
                    "finetune",
                    "sentiment",
                    f"--train={train}",
                    f"--init={init}",
                    f"--out={options.run}",
                    "--max_length=16",
                ]
            )
        path = export(options.run, folder / "model")["path"]
        run = Run(options.run)
        rows = rows_of(run, options.data, options.limit)
        signatures = (None, *run.task.more)
        expected = [row for name in signatures for row in predict(run, rows, signature=name, batch_size=BATCH)]
        batches = [batch for name in signatures for batch in requests(run.task, rows, BATCH, name)]

        servable, exported = Servable(path), []
        for signature, inputs, part in batches:
            encoded = {name: np.vectorize(str.encode, otypes=[object])(value) for name, value in inputs.items()}
            exported += answers(run.task, part, servable.predict(signature, encoded))
        table = [("this one", exported)]

        content = [[signature, {name: x.tolist() for name, x in inputs.items()}] for signature, inputs, _ in batches]
        (folder / "requests.json").write_text(json.dumps(content))
        for version in VERSIONS:
            python = ROOT / f".venv-tf-{version}" / "bin" / "python"
            command = [str(python), "-c", SCRIPT, path, str(folder / "requests.json")]
            printed = subprocess.run(command, capture_output=True, text=True, check=False)
            if printed.returncode:
                sys.exit(f"{python} failed:\n{printed.stderr}")
            *results, versions = [json.loads(line) for line in printed.stdout.splitlines()]
            assert versions == [version, version], versions
            found = []
            for (_, _, part), outputs in zip(batches, results, strict=True):
                found += answers(run.task, part, {name: from_json(value) for name, value in outputs.items()})
            table.append((version, found))
    print(f"\nexport of {options.run} against `trainer predict`; run by `make compatibility`")
    print(f"{'TensorFlow':>12} {'rows':>6} {'same':>6} {'largest difference of a probability':>36}")
    failed = False
    for name, found in table:
        pairs = list(zip(expected, found, strict=True))
        same = sum(without_numbers(one) == without_numbers(other) for one, other in pairs)
        largest = max(difference(one, other) for one, other in pairs)
        failed |= same != len(pairs) or largest > TOLERANCE
        print(f"{name:>12} {len(pairs):>6} {same:>6} {largest:>36.1e}")
    if failed:
        sys.exit(f"expected all the same, and differences of {TOLERANCE} at most")


def rows_of(run, path, limit):
    """Returns rows of a file for every signature of the run: of tagged sentences, half as text and half as words; of pairs,
    the last ones with one text empty, and with one of spaces."""
    if run.task.target != "tags":
        rows = files.read(path, run.task, limit=limit, inputs=run.inputs, lines=files.LABELLED)
        fields = run.fields if len(run.fields) > 1 else ()
        return rows + [rows[0] | {field: text} for field in fields for text in ("", "  \u3000 ")]
    rows = files.read(path, run.task, run.setup.labels, limit=limit, column=run.column)
    return [{"text": row["text"]} if i < len(rows) // 2 else {"words": row["words"]} for i, row in enumerate(rows)]


def from_json(value):
    array = np.array(value)
    return np.vectorize(str.encode, otypes=[object])(array) if array.dtype.kind == "U" else array


def without_numbers(answer):
    return {
        name: value for name, value in answer.items() if name not in ("score", "scores", "null_score", "probabilities")
    }


def difference(one, other):
    """Returns the largest difference of a probability in two answers."""
    if "null_score" in one:
        return max(abs(one[name] - other[name]) for name in ("score", "null_score"))
    if "scores" in one:
        return max((abs(a - b) for a, b in zip(one["scores"], other["scores"], strict=True)), default=0.0)
    return max(abs(p - other["probabilities"][name]) for name, p in one["probabilities"].items())


if __name__ == "__main__":
    main()

"""`make compatibility`: an export answers the same in the TensorFlow versions that the stock serving images hold.

    python -m tests.bench.compatibility [--run RUN --data DATA] [--limit 200] [--precision int8]

Exports RUN (by default a tiny model, trained here for the purpose), asks `trainer predict`, and loads the export through a
session in TF 2.12.1 + TF Text 2.12.1 and in 2.20.0 + 2.20.0 (virtual environments that `make compatibility` builds). With
--precision the export has an encoder for LiteRT beside it, of which none of them takes notice.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

import numpy as np

from serving.export import export
from serving.server.models.servable import Servable
from tests.conftest import ROOT, encoded, write_bert_folder, write_examples
from trainer import answerers
from trainer.__main__ import main as trainer
from trainer.commands.predict import predict
from trainer.data import datasets, files
from trainer.tasks.table import answers, requests

VERSIONS = ("2.12.1", "2.20.0")
BATCH = 32
TOLERANCE = 1e-4

# Runs in the other environment: prints the outputs of every request [signature, inputs], computed in a session.
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
    parser.add_argument("--data", help="file of rows, or data set by name; default: what the tiny model was scored on")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--precision", choices=("fp32", "int8"), help="of an encoder for LiteRT beside the export")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not options.run:
            options.run, options.data = tiny_run(Path(folder))
        expected, results = compare(options.run, options.data, options.limit, Path(folder), options.precision)
    print(f"\nexport of {options.run} against `trainer predict`; run by `make compatibility`")
    print(f"{'TensorFlow':>12} {'rows':>6} {'same':>6} {'largest difference of a number':>36}")
    failed = False
    for name, answered in results.items():
        pairs = list(zip(expected, answered, strict=True))
        same = sum(without_numbers(row) == without_numbers(other) for row, other in pairs)
        largest = max(difference(row, other) for row, other in pairs)
        failed |= same != len(pairs) or largest > TOLERANCE
        print(f"{name:>12} {len(pairs):>6} {same:>6} {largest:>36.1e}")
    if failed:
        sys.exit(f"expected all the same, and differences of {TOLERANCE} at most")


def tiny_run(folder):
    """Trains a tiny model; returns (run folder, file of rows)."""
    init = write_bert_folder(folder / "tiny")
    train, dev = write_examples(folder / "train.txt"), write_examples(folder / "dev.txt", 200, seed=1)
    run = folder / "run"
    trainer(["finetune", "sentiment", f"--train={train}", f"--init={init}", f"--out={run}", "--max_length=16"])
    return run, dev


def compare(run_folder, data, limit, folder, precision=None):
    """Returns (answers of `trainer predict`, {TensorFlow version: answers of the export}); writes files to `folder`."""
    path = export(run_folder, folder / "model", precision=precision)["path"]
    run = answerers.load(run_folder)
    rows = rows_of(run, datasets.path_of(str(data), "dev", run.task_name), limit)
    signatures = (None, *run.task.more)
    expected = [row for name in signatures for row in predict(run, rows, signature=name, batch_size=BATCH)]
    batches = [batch for name in signatures for batch in requests(run.task, rows, BATCH, name)]

    servable, answered = Servable(path), []
    for signature, inputs, batch in batches:
        answered += answers(run.task, batch, servable.predict(signature, encoded(inputs)))
    results = {"this one": answered}

    content = [[signature, {name: x.tolist() for name, x in inputs.items()}] for signature, inputs, _ in batches]
    (folder / "requests.json").write_text(json.dumps(content))
    for version in VERSIONS:
        python = ROOT / f".venv-tf-{version}" / "bin" / "python"
        command = [str(python), "-c", SCRIPT, path, str(folder / "requests.json")]
        printed = subprocess.run(command, capture_output=True, text=True, check=False)
        if printed.returncode:
            sys.exit(f"{python} failed:\n{printed.stderr}")
        *responses, versions = [json.loads(line) for line in printed.stdout.splitlines()]
        assert versions == [version, version], versions
        answered = []
        for (_, _, batch), outputs in zip(batches, responses, strict=True):
            answered += answers(run.task, batch, {name: from_json(value) for name, value in outputs.items()})
        results[version] = answered
    return expected, results


def rows_of(run, path, limit):
    """Returns rows of a file for every signature of the run.

    Tagged sentences are half texts and half words; pairs, and what is translated, are followed by some with an empty text or
    one of spaces.
    """
    if run.task.options:
        return files.given(path, run.task, lines=files.TEXTS).rows[:limit]
    if run.task.target != "tags":
        rows = files.read(path, run.task, limit=limit, inputs=run.inputs, lines=files.LABELLED)
        fields = run.fields if len(run.fields) > 1 or run.task.kind == "write" else ()
        return rows + [rows[0] | {field: text} for field in fields for text in ("", "  \u3000 ")]
    rows = files.read(path, run.task, run.setup.labels, limit=limit, column=run.column)
    return [{"text": row["text"]} if i < len(rows) // 2 else {"words": row["words"]} for i, row in enumerate(rows)]


def from_json(value):
    """Returns the array of an output; strings as bytes."""
    array = np.array(value)
    return np.vectorize(str.encode, otypes=[object])(array) if array.dtype.kind == "U" else array


NUMBERS = ("score", "scores", "null_score", "probabilities")


def without_numbers(answer):
    return {name: value for name, value in answer.items() if name not in NUMBERS}


def difference(answer, other):
    """Returns the largest difference of a number in two answers."""
    pairs = zip(numbers_of(answer), numbers_of(other), strict=True)
    return max((abs(first - second) for first, second in pairs), default=0.0)


def numbers_of(answer):
    values = [answer[name] for name in NUMBERS if name in answer]
    lists = [[*value.values()] if isinstance(value, dict) else value for value in values]
    return [number for value in lists for number in (value if isinstance(value, list) else [value])]


if __name__ == "__main__":
    main()

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
from trainer import data, runs
from trainer.__main__ import main as trainer
from trainer.tasks import answers
from trainer.train import predict

VERSIONS = ("2.12.1", "2.20.0")
BATCH = 32
TOLERANCE = 1e-4

# Runs in the other environment: probabilities of every batch of texts, through a session.
SCRIPT = """
import json, sys
import tensorflow as tf, tensorflow_text
session = tf.compat.v1.Session(graph=tf.Graph())
with session.graph.as_default():
    signature = tf.compat.v1.saved_model.loader.load(session, ["serve"], sys.argv[1]).signature_def["serving_default"]
outputs = {name: info.name for name, info in signature.outputs.items()}
for texts in json.load(open(sys.argv[2])):
    result = session.run(outputs, {signature.inputs["text"].name: texts})
    print(json.dumps([[label.decode() for label in result["label"]], result["probabilities"].tolist()]))
print(json.dumps([tf.__version__, tensorflow_text.__version__]))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="run folder; default: a tiny model")
    parser.add_argument("--data", help="file of texts; default: what the tiny model was scored on")
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
        run = runs.Run(options.run)
        rows = data.read(options.data, run.task, limit=options.limit)
        batches = [[row["text"] for row in rows[i : i + BATCH]] for i in range(0, len(rows), BATCH)]
        expected = list(predict(run, rows, batch_size=BATCH))

        servable, exported = Servable(path), []
        for i, texts in enumerate(batches):
            outputs = servable.predict("serving_default", {"text": np.array([text.encode() for text in texts], object)})
            exported += answers(run.task, rows[i * BATCH : i * BATCH + len(texts)], outputs)
        table = [
            (
                "this one",
                len(rows),
                sum(a == b for a, b in zip(expected, exported, strict=True)),
                difference(expected, exported),
            )
        ]

        (folder / "texts.json").write_text(json.dumps(batches))
        for version in VERSIONS:
            python = ROOT / f".venv-tf-{version}" / "bin" / "python"
            command = [str(python), "-c", SCRIPT, path, str(folder / "texts.json")]
            printed = subprocess.run(command, capture_output=True, text=True, check=False)
            if printed.returncode:
                sys.exit(f"{python} failed:\n{printed.stderr}")
            *results, versions = [json.loads(line) for line in printed.stdout.splitlines()]
            assert versions == [version, version], versions
            found = [
                {"label": label, "probabilities": dict(zip(run.labels, probabilities, strict=True))}
                for labels, batch in results
                for label, probabilities in zip(labels, batch, strict=True)
            ]
            same = sum(a["label"] == b["label"] for a, b in zip(expected, found, strict=True))
            table.append((version, len(found), same, difference(expected, found)))
    print(f"\nexport of {options.run} against `trainer predict`; run by `make compatibility`")
    print(f"{'TensorFlow':>12} {'texts':>6} {'same':>6} {'largest difference of a probability':>36}")
    for name, count, same, largest in table:
        print(f"{name:>12} {count:>6} {same:>6} {largest:>36.1e}")
    if any(count != same or largest > TOLERANCE for _, count, same, largest in table):
        sys.exit(f"expected all the same, and differences of {TOLERANCE} at most")


def difference(expected, found):
    pairs = zip(expected, found, strict=True)
    return max(
        abs(a["probabilities"][name] - b["probabilities"][name]) for a, b in pairs for name in a["probabilities"]
    )


if __name__ == "__main__":
    main()

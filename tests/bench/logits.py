"""Runs written by `trainer export_hf` give in transformers the logits that they give here.

    python -m tests.bench.logits [--run RUN --data FILE] ... [--limit 64]

Needs .venv-peers (`make bench` builds it). Each run, by default tiny ones of three tasks, is exported; transformers opens
the folder with its own tokenizer, and runs the program in its model card, too. Compared are the ids and the logits of
the first rows of FILE that are short enough to stay whole.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from trainer.quiet import tf  # isort: skip  before anything else imports TensorFlow

import numpy as np

from tests.conftest import ROOT, train_tiny, write_bert_folder, write_examples, write_questions, write_treebank
from trainer.commands.export_hf import export_hf
from trainer.data import files
from trainer.runs.run import Run

TOLERANCE = 1e-4
PEERS = ROOT / ".venv-peers" / "bin" / "python"

# Runs in .venv-peers: tokenizes each text and runs the model on it; prints unmatched tensors, then ids and logits.
SCRIPT = """
import json, sys
import torch, transformers
transformers.logging.set_verbosity_error()
folder, texts = sys.argv[1], json.load(sys.stdin)
name = json.load(open(folder + "/config.json"))["architectures"][0]
model, info = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
found = []
with torch.inference_mode():
    for row in texts:
        inputs = tokenizer(*row, return_tensors="pt")
        output = model.eval()(**inputs)
        logits = torch.stack([output.start_logits, output.end_logits], -1) if "start_logits" in output else output.logits
        found.append([inputs["input_ids"][0].tolist(), logits[0].tolist()])
print(json.dumps([sorted(map(str, [*info["missing_keys"], *info["unexpected_keys"]])), found]))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="append", default=[], help="run folder; with --data, as often as you like")
    parser.add_argument("--data", action="append", default=[], help="file of rows for it")
    parser.add_argument("--limit", type=int, default=64, help="rows (default: %(default)s)")
    options = parser.parse_args()
    if len(options.run) != len(options.data):
        parser.error("expected as many --data as --run")
    if not PEERS.exists():
        parser.error("expected .venv-peers; `make bench` builds it")
    with tempfile.TemporaryDirectory() as folder:
        pairs = list(zip(options.run, options.data, strict=True)) or tiny_runs(Path(folder))
        lines = [
            compare(Path(run), Path(file), Path(folder) / f"export-{i}", options.limit)
            for i, (run, file) in enumerate(pairs)
        ]
    print("logits of exported runs in transformers against ours; run by `python -m tests.bench.logits`")
    print(
        f"  {'task':<15}{'architecture':<34}{'rows':>5}{'same ids':>10}{'tensors left over':>19}{'largest difference':>20}  card"
    )
    print("\n".join(line for line, _ in lines))
    sys.exit(not all(passed for _, passed in lines))


def tiny_runs(folder):
    """Trains tiny models of three tasks; yields (run folder, file of rows)."""
    init = write_bert_folder(folder / "tiny")
    for task, write, suffix, flags in (
        ("sentiment", write_examples, ".txt", {}),
        ("tagging", write_treebank, ".conllu", {}),
        ("qa", write_questions, ".json", {"max_length": 48, "doc_stride": 16}),
    ):
        data = folder / task
        data.mkdir()
        yield train_tiny(task, write, data, suffix, init, epochs=2, batch_size=16, **flags), data / f"dev{suffix}"


def in_transformers(folder, rows):
    """Runs the model of a folder in transformers.

    Args:
        folder: A run, or an output of `export_hf`.
        rows: [[text], ...] or [[first, second], ...].

    Returns:
        (names of missing and unexpected tensors, [[ids, logits] of each row]).
    """
    command = [PEERS, "-c", SCRIPT, folder]
    result = subprocess.run(command, input=json.dumps(rows), capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def compare(folder, file, to, limit):
    """Exports a run to `to`; returns (its line of the table, whether everything is equal)."""
    run = Run(folder)
    exported = export_hf(folder, to)
    fields = ("text",) if run.task.kind == "tag" else run.fields
    rows = files.read(file, run.task, files.ANY, inputs=[run.fields])
    texts = [[row[field] for field in fields] for row in rows]
    reader = run.blueprint.reader(run.blueprint.config.positions)
    pieces = [[*reader.ids([row[i] for row in texts])] for i in range(len(fields))]
    longest = reader.room(2)
    untruncated = [i for i in range(len(texts)) if sum(len(field[i]) for field in pieces) <= longest][:limit]
    unmatched, references = in_transformers(to, [texts[i] for i in untruncated])
    same, largest = 0, 0.0
    for i, (ids, logits) in zip(untruncated, references, strict=True):
        first, *second = [tf.RaggedTensor.from_tensor(field[i][None]) for field in pieces]
        inputs = reader.frame(first, second[0] if second else None)
        same += inputs["token_ids"][0].numpy().tolist() == ids
        output = run.model(inputs, training=False)
        output = np.asarray(output.to_tensor() if hasattr(output, "to_tensor") else output)
        output = output.reshape(np.shape(logits))
        valid = output > -1e8  # positions of a question are masked
        largest = max(largest, float(np.abs(output - np.array(logits))[valid].max()))
    code = re.search(r"```python\n(.*?)```", (to / "README.md").read_text(encoding="utf-8"), re.S)[1]
    result = subprocess.run([PEERS, "-c", code], cwd=to.parent, capture_output=True, text=True, check=False)
    card = (
        f"runs, prints {result.stdout.splitlines()[-1][:60]!r}"
        if result.returncode == 0
        else f"fails: {result.stderr.splitlines()[-1]}"
    )
    line = f"  {run.task_name:<15}{exported['architecture']:<34}{len(untruncated):>5}{same:>10}{len(unmatched):>19}{largest:>20.1e}  {card}"
    return line, same == len(untruncated) and not unmatched and largest < TOLERANCE and result.returncode == 0


if __name__ == "__main__":
    main()

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

from trainer.quiet import tf  # isort: skip  before all that imports TensorFlow

import numpy as np

from tests.conftest import ROOT, train_tiny, write_bert_folder, write_examples, write_questions, write_treebank
from trainer.commands.export_hf import export_hf
from trainer.data import files
from trainer.runs.run import Run
from trainer.text import frame
from trainer.training import batches

TOLERANCE = 1e-4
PEERS = ROOT / ".venv-peers" / "bin" / "python"

# In .venv-peers: tokenises texts, runs the model on them one by one; prints what loading left over, the ids, the logits.
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
    sys.exit(not all(right for _, right in lines))


def tiny_runs(folder):
    init = write_bert_folder(folder / "tiny")
    for task, write, suffix, more in (
        ("sentiment", write_examples, ".txt", {}),
        ("tagging", write_treebank, ".conllu", {}),
        ("qa", write_questions, ".json", {"max_length": 48, "doc_stride": 16}),
    ):
        place = folder / task
        place.mkdir()
        yield train_tiny(task, write, place, suffix, init, epochs=2, batch_size=16, **more), place / f"dev{suffix}"


def in_transformers(folder, rows):
    """Returns (names of tensors missing or left over, [[ids, logits] of each row]) of a folder that transformers opens.

    Args:
        folder: A run, or what `export_hf` wrote.
        rows: [[text], ...] or [[first, second], ...].
    """
    asked = {"input": json.dumps(rows), "capture_output": True, "text": True, "check": True}
    return json.loads(subprocess.run([PEERS, "-c", SCRIPT, folder], **asked).stdout.splitlines()[-1])


def compare(folder, file, to, limit):
    """Returns a line of the table, and whether all is as it should be."""
    run = Run(folder)
    done = export_hf(folder, to)
    fields = ("text",) if run.task.kind == "tag" else run.fields
    rows = files.read(file, run.task, files.ANY, inputs=[run.fields])
    texts = [[row[field] for field in fields] for row in rows]
    pieces = [[*batches.tokenize([row[i] for row in texts], run.reading.tokenizer)] for i in range(len(fields))]
    longest = run.config["max_position_embeddings"] - 3
    whole = [i for i in range(len(texts)) if sum(len(field[i]) for field in pieces) <= longest][:limit]
    left_over, theirs = in_transformers(to, [texts[i] for i in whole])
    same, largest = 0, 0.0
    for i, (ids, logits) in zip(whole, theirs, strict=True):
        first, *second = [tf.RaggedTensor.from_tensor(field[i][None]) for field in pieces]
        inputs = frame.pack(first, run.reading.tokenizer, longest + 3, second=second[0] if second else None)
        same += inputs["token_ids"][0].numpy().tolist() == ids
        ours = run.model(inputs, training=False)
        ours = np.asarray(ours.to_tensor() if hasattr(ours, "to_tensor") else ours)
        ours = ours.reshape(np.shape(logits))
        answers = ours > -1e8  # places of a question are none
        largest = max(largest, float(np.abs(ours - np.array(logits))[answers].max()))
    code = re.search(r"```python\n(.*?)```", (to / "README.md").read_text(encoding="utf-8"), re.S)[1]
    ran = subprocess.run([PEERS, "-c", code], cwd=to.parent, capture_output=True, text=True, check=False)
    card = (
        f"runs, prints {ran.stdout.splitlines()[-1][:60]!r}"
        if ran.returncode == 0
        else f"fails: {ran.stderr.splitlines()[-1]}"
    )
    line = f"  {run.task_name:<15}{done['architecture']:<34}{len(whole):>5}{same:>10}{len(left_over):>19}{largest:>20.1e}  {card}"
    return line, same == len(whole) and not left_over and largest < TOLERANCE and ran.returncode == 0


if __name__ == "__main__":
    main()

"""A change that moves code changes no result: the same runs by two checkouts, digest for digest and answer for answer.

    python -m tests.bench.same OLD NEW [--only NAME ...]

OLD and NEW are checkouts, or a FILE.json that `--write FILE.json` made of one (`python -m tests.bench.same NEW --write FILE`).
Each checkout trains eleven tiny models by its command line alone (every task; freezing, layer decay, accumulation,
`--keep best`, early stopping, drawn rows, several forms of rows, windows, a run that is killed and resumed), evaluates,
predicts and exports each. Compared are the bytes of the weights, metrics.json, metrics.jsonl, the scores, the predicted rows
and what the export answers in a session. The data are written here, once for both. Five minutes a checkout on two cores.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.compatibility import SCRIPT
from tests.conftest import VOCABULARY, write_examples, write_questions, write_treebank

SHARED = ["--max_length=16", "--learning_rate=3e-3", "--batch_size=8", "--epochs=2", "--seed=7"]
RANDOM = ["--model=tiny", "--vocabulary=vocab.txt"]
TEXT = ("serving_default", {"text": ["a good film", "坏 片", "", "very  bad\tfilm 👍", "中国人good"] * 9})
PAIR = [["a film", "", "中国"] * 12, ["good", "bad film", "人 very"] * 12]
WORDS = ("words", {"words": [["a", "film"], ["中国", "b.c"], ["café", ""]]})
QUESTION = {"question": ["a", "b", ""], "context": ["very 1 2 film " * 20 + "好", "bad", "a good film"]}

# name: (task and options of finetune, dev file, requests to the export, rows to predict)
RUNS = {
    "first": (["sentiment", "--train=train.txt", "--dev=dev.txt", *RANDOM], "dev.txt", [TEXT], "texts.jsonl"),
    "frozen": (
        ["sentiment", "--train=train.tsv", "--dev=dev.txt", "--init=runs/first", "--freeze=1", "--dropout=0.3"],
        "dev.txt", [TEXT], "texts.jsonl",
    ),
    "decayed": (
        ["sentiment", "--train=train.jsonl", "--init=runs/first", "--layer_decay=0.8", "--accumulate=3", "--warmup=0.3",
         "--weight_decay=0.1", "--epsilon=1e-8"],
        "dev.txt", [TEXT], "texts.jsonl",
    ),
    "best": (
        ["sentiment", "--train=train.txt", "--dev=dev.txt", "--init=runs/first", "--keep=best", "--patience=1", "--epochs=4",
         "--limit=40"],
        "dev.txt", [TEXT], "texts.jsonl",
    ),
    "labels": (["classification", "--train=pairs.jsonl", "--dev=pairs.jsonl", "--init=runs/first"], "pairs.jsonl",
               [("serving_default", {"text": PAIR[0], "text_b": PAIR[1]})], "pairs.jsonl"),
    "nli": (["nli", "--train=nli.tsv", "--dev=nli.tsv", *RANDOM], "nli.tsv",
            [("serving_default", {"premise": PAIR[0], "hypothesis": PAIR[1]})], "nli.tsv"),
    "tagging": (["tagging", "--train=train.conllu", "--dev=dev.conllu", "--init=runs/first"], "dev.conllu",
                [TEXT, WORDS], "dev.conllu"),
    "xpos": (["tagging", "--train=train.conllu", "--column=xpos", "--max_length=8", *RANDOM], "dev.conllu",
             [TEXT, WORDS], "texts.jsonl"),
    "qa": (["qa", "--train=train.json", "--dev=dev.json", "--max_length=32", "--doc_stride=12", *RANDOM], "dev.json",
           [("serving_default", QUESTION), ("nbest", QUESTION)], "dev.json"),
    "unanswerable": (["qa", "--train=train.json", "--limit=40", "--unanswerable=0.5", "--max_length=24", "--max_answer_length=3",
                      "--dev=dev.json", "--dev_limit=20", "--init=runs/first"], "dev.json",
                     [("serving_default", QUESTION)], "dev.json"),
    "resumed": (["sentiment", "--train=train.txt", "--dev=dev.txt", "--init=runs/first", "--epochs=6", "--checkpoint_every=0"],
                "dev.txt", [TEXT], "texts.jsonl"),
}  # fmt: skip

# Runs in a checkout: commands one after the other, [module, *arguments] -> [status, what it printed on standard output].
DRIVER = """
import contextlib, io, json, runpy, sys
for module, *arguments in json.load(sys.stdin):
    printed, sys.argv = io.StringIO(), [module, *arguments]
    status = 0
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        status = stop.code or 0
    print(json.dumps([status, printed.getvalue()]), flush=True)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", metavar="CHECKOUT", help="a checkout, or a file that --write made")
    parser.add_argument("--write", metavar="FILE", help="keep what the (last) checkout gave")
    parser.add_argument("--only", nargs="+", choices=RUNS, default=[*RUNS], help="these runs, and first")
    options = parser.parse_args()
    names = [name for name in RUNS if name in {"first", *options.only}]
    results = [
        read(source) if source.endswith(".json") else ran(Path(source).resolve(), names) for source in options.places
    ]
    if options.write:
        Path(options.write).write_text(json.dumps(results[-1], ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if len(results) == 2:
        sys.exit(compare(*results, names))


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def ran(checkout, names):
    """Returns {run: {name: digest or value}} of a checkout."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lineage-same.") as folder:
        folder = Path(folder)
        write_data(folder)
        if "resumed" in names:
            names = [*names[:-1], "resumed"]
            interrupt(checkout, folder)
        answers = run_all(checkout, folder, [command for name in names for command in commands(name)])
        results = {name: result_of(folder, name, [next(answers) for _ in commands(name)]) for name in names}
        for name in names:
            results[name]["exported"] = digest(exported(folder, name))
    print(f"{checkout}: {len(names)} runs in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return results


def write_data(folder):
    """Writes files of every form, the same at each call."""
    texts = {}
    for split, count in (("train", 64), ("dev", 24)):
        path = write_examples(folder / f"{split}.txt", count, seed=len(split))
        texts[split] = [line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
        write_treebank(folder / f"{split}.conllu", count, seed=len(split))
        write_questions(folder / f"{split}.json", count, seed=len(split))
    lines = lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    train = texts["train"]
    thirds = [(*train[i : i + 2], ["zero", "one", "two"][i % 3]) for i in range(60)]
    files = {
        "vocab.txt": "\n".join(VOCABULARY) + "\n",
        "train.tsv": "sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for label, text in train),
        "train.jsonl": lines({"text": text, "label": int(label)} for label, text in train),
        "texts.jsonl": lines({"text": text} for _, text in texts["dev"]),
        "pairs.jsonl": lines({"text": a[1], "text_b": b[1], "label": label} for a, b, label in thirds),
        "nli.tsv": "premise\thypothesis\tlabel\n" + "".join(f"{a[1]}\t{b[1]}\t{label}\n" for a, b, label in thirds),
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


def commands(name):
    options, dev, _, rows = RUNS[name]
    run = f"runs/{name}"
    return [
        ["trainer", "finetune", options[0], *SHARED, *options[1:], f"--out={run}"],
        ["trainer", "evaluate", run, f"--data={dev}", f"--output={name}.found"],
        ["trainer", "predict", run, f"--input={rows}", "--batch_size=5"],
        ["serving.export", run, f"--to=exports/{name}"],
    ]


def environment(checkout):
    return os.environ | {"PYTHONPATH": str(checkout), "LINEAGE_CACHE": "cache", "LINEAGE_TRACEBACK": ""}


def interrupt(checkout, folder):
    """Trains `first`, and `resumed` until it has saved once, then kills it; the command is given again later."""
    answers = run_all(checkout, folder, commands("first")[:1])
    list(answers)
    command = [sys.executable, "-m", *commands("resumed")[0]]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(checkout), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list((folder / "runs/resumed/checkpoint").glob("step-*[1-9].safetensors")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    if process.wait() == 0:
        raise SystemExit("the run that was to be killed had ended")


def run_all(checkout, folder, queue):
    """Yields what each command printed; ends the program at the first that fails."""
    process = subprocess.run(
        [sys.executable, "-c", DRIVER], input=json.dumps(queue), cwd=folder, env=environment(checkout),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = process.stdout.splitlines()
    for command, line in zip(queue, lines, strict=False):
        status, printed = json.loads(line)
        if status:
            raise SystemExit(f"{checkout}: {' '.join(command)}: status {status}\n{process.stderr[-2000:]}")
        yield printed
    if len(lines) != len(queue):
        raise SystemExit(f"{checkout}: ended after {len(lines)} of {len(queue)} commands\n{process.stderr[-2000:]}")


def result_of(folder, name, printed):
    """Returns the values of a run that are compared, except the answers of its export."""
    run = folder / "runs" / name
    finetuned, evaluated, predicted, _ = printed
    plain = lambda text: {k: value for k, value in json.loads(text).items() if k not in ("seconds", "report")}
    reports = [json.loads(evaluated), json.loads((run / "metrics.json").read_text(encoding="utf-8"))]
    return {
        "weights": digest((run / "model.safetensors").read_bytes()),
        "log": digest((run / "metrics.jsonl").read_bytes()),
        "result": plain(finetuned),
        "scores": plain(evaluated),
        "reports": [content.get("report") for content in reports],  # of --data, and of the training
        "found": digest((folder / f"{name}.found").read_bytes()),
        "predicted": digest(predicted.encode()),
    }


def exported(folder, name):
    """Returns the answers of the export, from a process without this project."""
    (folder / "requests.json").write_text(json.dumps(RUNS[name][2]))
    command = [sys.executable, "-c", SCRIPT, str(folder / "exports" / name / "1"), str(folder / "requests.json")]
    printed = subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout
    answers = [json.loads(line) for line in printed.splitlines()]
    return json.dumps(answers, sort_keys=True).encode()  # outputs come in any order


def digest(content):
    return hashlib.sha256(content).hexdigest()[:16]


def compare(old, new, names):
    """Prints a row a run; returns the exit status."""
    different = 0
    print(f"{'run':14} {'digest, old':17} {'digest, new':17} differs in")
    for name in names:
        before, after = old.get(name, {}), new[name]
        differing = [key for key in after if before.get(key) != after[key]]
        if not any(before.get("reports", ())):  # a checkout that is older than reports
            differing = [key for key in differing if key != "reports"]
        different += bool(differing)
        digests = [values.get("result", {}).get("digest", "-") for values in (before, after)]
        print(f"{name:14} {digests[0]:17} {digests[1]:17} {', '.join(differing) or '-'}")
        for key in ("result", "scores"):
            if key in differing:
                print(f"  {key}: {before.get(key)}\n  {' ' * len(key)}  {after[key]}")
    print(f"{len(names) - different} of {len(names)} runs equal; run by: python -m tests.bench.same OLD NEW")
    return bool(different)


if __name__ == "__main__":
    main()

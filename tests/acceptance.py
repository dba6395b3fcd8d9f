"""`make acceptance`: runs what README.md and docs/ promise and prints a line a promise: what was promised, what was found.

    python -m tests.acceptance [--only WORDS] [--folder DIR]

Each promise quotes the README, and falls if the README says it no more. Ends with status 1 if one falls; a promise that
cannot be tried here (data that are unavailable) falls, too. About two hours on two cores, by the times of its parts; `--folder` keeps the runs and all
that was printed (log.txt), and goes on from them the next time; `--only` takes the promises that hold these words. Needs what `make acceptance` sets up:
.venv, .venv-peers, .venv-tf-2.12.1, .venv-tf-2.20.0.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.bench.report import Report

ROOT = Path(__file__).parents[1]
SEEDS = (1, 2, 3)
TEXTS = ["A gorgeous, witty and deeply moving film.", "Clumsy, tedious and far too long.", "太糟糕了", ""]


class Fallen(Exception):
    """A promise does not hold; says what was found."""


@dataclass(frozen=True)
class Promise:
    quote: str  # of README.md
    check: Callable[["Workshop"], str]  # returns what was found, in words; raises Fallen


class Workshop:
    """Results that several promises share, made when the first one needs them."""

    def __init__(self, folder):
        self.folder = folder

    @cached_property
    def data(self):
        from tests.conftest import DATA  # imports TensorFlow

        return DATA

    def run(self, *command, python=sys.executable, check=True):
        """Runs `python -m ...` in the project's folder; returns the finished process."""
        command = [*map(str, command)]
        process = subprocess.run([str(python), *command], cwd=ROOT, capture_output=True, text=True, check=False)
        with open(self.folder / "log.txt", "a", encoding="utf-8") as log:
            print(
                "$ python", *command, *process.stderr.splitlines(), *process.stdout.splitlines(), sep="\n    ", file=log
            )
        if check and process.returncode:
            raise Fallen(
                f"{' '.join(command)[:100]} ended with {process.returncode}: {(process.stderr.splitlines() or [''])[-1]}"
            )
        return process

    @cached_property
    def tests(self):
        """({file::test: [passed, skipped, failed]} of one run of all tests, its seconds)."""
        report, began = self.folder / "tests.xml", time.monotonic()
        self.run("-m", "pytest", f"--junitxml={report}", "-p", "no:cacheprovider", check=False)
        seconds, counts = time.monotonic() - began, {}
        for case in xml.parse(report).iter("testcase"):
            name = f"{case.get('classname').rpartition('.')[2]}::{case.get('name').partition('[')[0]}"
            outcome = 1 if case.find("skipped") is not None else 2 if len(case) else 0
            counts.setdefault(name, [0, 0, 0])[outcome] += 1
        return counts, seconds

    @cached_property
    def runs(self):
        """The run folders of MiniLM on SST-2, three seeds, as the README trains them, and their results."""
        results = []
        for seed in SEEDS:
            out = self.folder / f"sst2-{seed}"
            options = ["--train", "sst2", "--dev", "sst2", "--init", "minilm", "--learning_rate", "1e-4"]
            process = self.run("-m", "trainer", "finetune", "sentiment", *options, "--seed", seed, "--out", out)
            results.append((out, json.loads(process.stdout.splitlines()[-1])))
        return results

    def learned(self, name, task, train, dev, *options):
        """The run folder of a run on files of LINEAGE_DATA, and its result."""
        out = self.folder / name
        files = ["--train", self.data / train, "--dev", self.data / dev]
        process = self.run("-m", "trainer", "finetune", task, *files, *options, "--seed", 1, "--out", out)
        return out, json.loads(process.stdout.splitlines()[-1])

    @cached_property
    def tagging_en(self):
        folder = "tagging-en/UD_English-EWT/en_ewt-ud-"
        options = ["--init", "minilm", "--learning_rate", "3e-4", "--epochs", 2]
        return self.learned("tagging-en", "tagging", f"{folder}train.conllu", f"{folder}dev.conllu", *options)

    @cached_property
    def tagging_zh(self):
        folder = "tagging-zh/UD_Chinese-simplified-hankcs/"
        options = ["--model", "mini", "--vocabulary", self.data / "vocab/bert-base-chinese/vocab.txt"]
        options += ["--learning_rate", "1e-3", "--epochs", 20]
        return self.learned("tagging-zh", "tagging", f"{folder}train.conll", f"{folder}dev.conll", *options)

    @cached_property
    def nli(self):
        folder = "nli-en/mnli/multinli_"
        options = ["--init", "minilm", "--learning_rate", "1e-4", "--epochs", 2]
        return self.learned(
            "nli", "nli", f"{folder}train_sample12988.jsonl", f"{folder}dev_matched.first3000.jsonl", *options
        )

    @cached_property
    def qa(self):
        options = ["--limit", 5000, "--dev_limit", 1000, "--init", "minilm", "--learning_rate", "1e-4", "--epochs", 1]
        options += ["--epsilon", "1e-8", "--dropout", 0]
        return self.learned("qa", "qa", "qa-en/squad/train-v1.1.json.gz", "qa-en/squad/dev-v1.1.json", *options)

    @cached_property
    def qa_or_none(self):
        options = ["--limit", 3000, "--unanswerable", "0.5", "--dev_limit", 2000, "--init", "minilm", "--epochs", 1]
        options += ["--learning_rate", "1e-4", "--epsilon", "1e-8", "--dropout", 0]
        return self.learned("qa2", "qa", "qa-en/squad/train-v1.1.json.gz", "qa-en/squad/dev-v2.0.json.gz", *options)

    @cached_property
    def export(self):
        process = self.run("-m", "serving.export", self.runs[0][0], "--to", self.folder / "sentiment")
        return json.loads(process.stdout)

    @cached_property
    def predictions(self):
        process = self.run("-m", "trainer", "predict", self.runs[0][0], *[f"--text={text}" for text in TEXTS])
        return [json.loads(line) for line in process.stdout.splitlines()]

    @cached_property
    def speed(self):
        folder = self.folder / "speed"
        command = ("-m", "tests.bench", "--only", "sst2", "texts", "--to", folder)
        self.run(*command, python=ROOT / ".venv-peers" / "bin" / "python")
        measures = Report.of(json.loads((folder / "figures.json").read_text())).measures
        return {measure.key: measure for measure in measures}


def tests(*names):
    """Returns the check of a promise that tests keep: they ran, and all of them passed."""

    def check(shop):
        counts, _ = shop.tests
        chosen = {name: count for name, count in counts.items() if any(name.startswith(prefix) for prefix in names)}
        missing = [prefix for prefix in names if not any(name.startswith(prefix) for name in chosen)]
        passed, skipped, failed = (sum(count[i] for count in chosen.values()) for i in range(3))
        words = f"{passed} tests passed" + f", {skipped} skipped" * bool(skipped) + f", {failed} failed" * bool(failed)
        return expect(not missing and not skipped and not failed, words + f"; no test {missing}" * bool(missing))

    return check


def expect(holds, words):
    if not holds:
        raise Fallen(words)
    return words


def all_tests(shop):
    counts, seconds = shop.tests
    passed, skipped, failed = (sum(count[i] for count in counts.values()) for i in range(3))
    return expect(
        passed and not failed and seconds < 900,
        f"{passed} passed, {skipped} skipped, {failed} failed in {seconds:.0f} s",
    )


def demo(shop):
    began = time.monotonic()
    env = os.environ | {"LINEAGE_DATA": str(shop.data)}
    process = subprocess.run(["make", "demo"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    rows = [json.loads(line) for line in process.stdout.splitlines() if re.match(r'\{"(text|premise|question)"', line)]
    answers = [str(row.get("label") or row.get("answer") or row.get("tags")) for row in rows]
    words = f"{len(answers)} answers ({', '.join(answers)}) in {seconds:.0f} s"
    return expect(process.returncode == 0 and len(answers) == 6 and seconds < 480, words)


def readmes_agree(shop):
    """The same commands in the same order in both languages."""
    commands = [re.findall(r"^ +\$ .*|^ +make \w+|^    python .*", text_of(zh), re.M) for zh in ("", ".zh")]
    return expect(
        commands[0] == commands[1],
        f"{len(commands[0])} commands in the one, {len(commands[1])} in the other, "
        + ("equal" if commands[0] == commands[1] else "not equal"),
    )


def text_of(suffix):
    """Returns the README and the pages of docs/, in English ("") or in Chinese (".zh")."""
    pages = sorted(path for path in (ROOT / "docs").glob("*.md") if (".zh" in path.suffixes) == bool(suffix))
    return "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / f"README{suffix}.md", *pages))


def malformed_line(shop):
    lines = ["sentence\tlabel", *["a film\t1"] * 16, "a\tb\t1"]
    (shop.folder / "reviews.tsv").write_text("\n".join(lines) + "\n")
    command = ["-m", "trainer", "finetune", "sentiment", "--train", "reviews.tsv", "--init", "minilm", "--out", "run"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, *command], cwd=shop.folder, env=env, capture_output=True, text=True, check=False
    )
    expected = "python -m trainer finetune: reviews.tsv:18: expected 2 columns (sentence, label), found 3\n"
    return expect(
        process.stderr == expected and process.returncode == 2, f"status {process.returncode}: {process.stderr.strip()}"
    )


def accuracy(shop):
    scores = [result["final"]["accuracy"] for _, result in shop.runs]
    seconds = statistics.mean(result["seconds"] / 3 for _, result in shop.runs)
    words = f"{statistics.mean(scores):.4f} ({' '.join(f'{score:.4f}' for score in scores)}), {seconds:.0f} s an epoch"
    return expect(statistics.mean(scores) >= 0.871, words)


def finished_run(shop):
    """The same command again, another seed, and a dry run."""
    out, result = shop.runs[0]
    options = [
        "-m",
        "trainer",
        "finetune",
        "sentiment",
        "--train",
        "sst2",
        "--dev",
        "sst2",
        "--init",
        "minilm",
        "--out",
        out,
    ]
    repeated = shop.run(*options, "--learning_rate", "1e-4", "--seed", 1)
    changed = shop.run(*options, "--learning_rate", "1e-4", "--seed", 9, check=False)
    holds = json.loads(repeated.stdout) == result and changed.returncode == 2 and "--seed 1, not 9" in changed.stderr
    return expect(holds, f"the result again; then status {changed.returncode}: {changed.stderr.strip()[-90:]}")


def evaluate(shop):
    out, result = shop.runs[0]
    score = json.loads(shop.run("-m", "trainer", "evaluate", out, "--data", "sst2").stdout)
    return expect(
        score["accuracy"] == result["final"]["accuracy"], f"{score['accuracy']} and {result['final']['accuracy']}"
    )


def opens_in_transformers(shop):
    import numpy as np

    from tests.bench.logits import in_transformers  # imports TensorFlow

    left_over, outputs = in_transformers(shop.runs[0][0], [[text] for text in TEXTS])
    expected = np.exp([logits for _, logits in outputs])
    actual = [list(row["probabilities"].values()) for row in shop.predictions]
    largest = np.abs(expected / expected.sum(-1, keepdims=True) - actual).max()
    words = f"{len(left_over)} tensors missing or left over, probabilities within {largest:.1e}"
    return expect(not left_over and largest < 1e-4, words)


def logits(shop):
    """Tiny runs of three kinds of heads, by `tests.bench.logits`."""
    process = shop.run("-m", "tests.bench.logits", check=False)
    rows = re.findall(r"^ +(\w+) +Bert\w+ +(\d+) +(\d+) +(\d+) +(\S+) +(\w+)", process.stdout, re.M)
    words = "; ".join(
        f"{task}: {same} of {count} rows of ids, {left} tensors left over, within {largest}, card {card}"
        for task, count, same, left, largest, card in rows
    )
    return expect(process.returncode == 0 and len(rows) == 3, words or process.stderr.strip()[-200:])


def resume(shop):
    process = shop.run("-m", "tests.bench.resume", check=False)
    lines = process.stdout.splitlines() or process.stderr.splitlines()
    return expect(process.returncode == 0, next((line for line in lines if "bit for bit" in line), lines[-1]))


def in_other_versions(shop, run, data):
    """Returns whether all answers of a run's export were those of `trainer predict` in each TensorFlow, and in words."""
    process = shop.run("-m", "tests.bench.compatibility", "--run", run, "--data", data, check=False)
    rows = re.findall(r"^ +(this one|2\.\d+\.\d) +(\d+) +(\d+) +(\S+)$", process.stdout, re.M)
    words = "; ".join(f"{name}: {same} of {count}, {largest}" for name, count, same, largest in rows)
    return process.returncode == 0 and len(rows) == 3, words or process.stderr.strip()[-200:]


def compatibility(shop):
    from trainer.data import datasets

    return expect(*in_other_versions(shop, shop.runs[0][0], datasets.path_of("sst2", "dev")))


def scores(run_name, **minimums):
    """Returns the check of a run's scores on dev, which the README shows, and of its export in older TensorFlow versions."""

    def check(shop):
        out, result = getattr(shop, run_name)
        data = json.loads((out / "config.json").read_text())["lineage"]["options"]["dev"]
        same, words = in_other_versions(shop, out, data)
        summary = ", ".join(f"{name} {result['final'][name]:.4f}" for name in minimums)
        return expect(
            same and all(result["final"][name] >= value for name, value in minimums.items()), f"{summary}; {words}"
        )

    return check


def official_scores(shop):
    """Published systems' answers score as published."""
    published = {
        "bert-ensemble.v1.1": (86.21, 92.20),
        "logistic-regression.v1.1": (40.14, 50.98),
        "bert-single.v2.0": (78.74, 81.78),
    }
    measured = {}
    for name in published:
        gold = shop.data / "qa-en/squad" / ("dev-v2.0.json.gz" if name.endswith("2.0") else "dev-v1.1.json")
        process = shop.run(
            "-m", "trainer", "evaluate", shop.data / f"qa-en/squad/predictions/{name}.json", "--data", gold
        )
        score = json.loads(process.stdout)
        measured[name] = round(score["exact"], 2), round(score["f1"], 2)
    return expect(measured == published, "; ".join(f"{name} {exact} {f1}" for name, (exact, f1) in measured.items()))


def long_contexts(shop):
    """Answers at the end of 50,000 words are mostly those of the paragraph alone; memory is bounded, time grows as the words
    do."""
    data = shop.data / "qa-en/squad/dev-v1.1.json"
    options = ["--run", shop.qa_or_none[0], "--data", data, "--questions", 4, 4, 4, 6]
    process = shop.run("-m", "tests.bench.contexts", *options)
    rows = re.findall(r"^ +([\d,]+) +(\d+) +(\d+) +(\d+) +([\d.]+) +(\d*) +(-?\d+)$", process.stdout, re.M)
    words, questions, same, _, seconds, rate, megabytes = rows[-1]
    linear = int(rate) < 2 * int(rows[-2][5])
    summary = f"{words} words: {same} of {questions} the same span, {seconds} s, {rate} ms a thousand words ({rows[-2][5]} with {rows[-2][0]}), {megabytes} MB more"
    return expect(2 * int(same) >= int(questions) and linear and int(megabytes) < 2 * int(rows[-2][6]), summary)


def threshold(shop):
    """The best threshold for the null score beats answering always."""
    final = shop.qa_or_none[1]["final"]
    words = f"F1 {final['best_f1']:.2f} with the best threshold, {final['AlwaysAns_f1']:.2f} always answering"
    return expect(final["best_f1"] > final["AlwaysAns_f1"], words)


LONG_TEXT = """
import resource, sys
import tensorflow_text  # registers its ops
from serving.server.models.servable import Servable
import numpy as np
servable, peak = Servable(sys.argv[1]), lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sentence = "She doesn't study machine learning in Shanghai, does she? "
memory = []
for text in (sentence, (sentence * 2000)[:100_000]):
    outputs = servable.predict("serving_default", {"text": np.array([text.encode()], object)})
    assert all(text[a:b].encode() == word for a, b, word in zip(*(outputs[name][0] for name in ("starts", "ends", "words"))))
    memory.append(peak())
print(round(memory[1] - memory[0]))
"""


def long_text(shop):
    exported = json.loads(shop.run("-m", "serving.export", shop.tagging_en[0], "--to", shop.folder / "tagging").stdout)
    began = time.monotonic()
    megabytes = int(shop.run("-c", LONG_TEXT, exported["path"]).stdout)
    return expect(
        megabytes < 300, f"{megabytes} MB more than a sentence, {time.monotonic() - began:.0f} s with loading"
    )


def serve_and_ask(shop):
    """The client's answers are those of `trainer predict`, and the time of a client from its start to its answer."""
    from tests.conftest import Server

    server = Server("--model_name=sentiment", f"--model_base_path={Path(shop.export['path']).parent}")
    try:
        (shop.folder / "ask.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
        ask = ["-m", "serving.client", "sentiment", f"--server={server.address}"]
        process = shop.run(*ask, f"--input={shop.folder / 'ask.jsonl'}")
        answers, times = [json.loads(line) for line in process.stdout.splitlines()], []
        for _ in range(5):
            began = time.monotonic()
            shop.run(*ask, "--text=a fine film")
            times.append(time.monotonic() - began)
        status = Path(f"/proc/{server.process.pid}/status")
        memory = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
    finally:
        ended = server.stop()
    pairs = zip(answers, shop.predictions, strict=True)
    same = sum(a["label"] == b["label"] and abs(a["score"] - b["score"]) < 1e-5 for a, b in pairs)
    words = f"{same} of {len(TEXTS)} answers as `predict`, {min(times):.2f} s; the server: "
    words += f"{int(memory[1]) / 1024:.0f} MB, " if memory else ""
    return expect(same == len(TEXTS) and min(times) < 1 and ended == 0, f"{words}status {ended} on SIGTERM")


def speed(key, peer, floor, variant):
    """Returns the check that our speed is at least `floor` times the peer's."""

    def check(shop):
        measure = shop.speed[key]
        ratio, (ours, theirs) = measure.ratio(variant, peer), (measure.figures[name] for name in (variant, peer))
        return expect(ratio >= floor, f"{ratio:.2f} times ({ours:.1f} and {theirs:.1f}), at least {floor} expected")

    return check


SERVED = "ours, strings by gRPC, LiteRT fp32"
PROMISES = [
    Promise("trains a small model for each task, exports all, serves them in one process, asks each", demo),
    Promise("make test # all tests", all_tests),
    Promise("A malformed line stops the run before it starts", malformed_line),
    Promise("Lineage, mean of the three", accuracy),
    Promise("The same command on a finished run prints its result; with another setting it names the option", finished_run),
    Promise("ends with the same bytes as one that was not", resume),
    Promise("stops it at the next step, with a checkpoint", tests("test_loop::test_a_signal")),
    Promise("a full disk costs one line", tests("test_checkpoint::test_a_full_disk", "test_checkpoint::test_a_checkpoint_that_finds_no_room")),
    Promise("Data that changed under the same name are another run", tests("test_loop::test_changed_data")),
    Promise("gives the same hidden states, bit for bit", tests("test_pretrained::test_minilm", "test_pretrained::test_google_to", "test_pretrained::test_a_checkpoint")),
    Promise("writes the other form", tests("test_pretrained::")),
    Promise("`--freeze", tests("test_loop::test_frozen")),
    Promise("`--layer_decay", tests("test_optim::test_rate_and_decay")),
    Promise("`--accumulate", tests("test_loop::test_accumulation")),
    Promise("`--patience", tests("test_loop::test_early_stopping")),
    Promise("`--dry_run", tests("test_loop::test_a_dry_run")),
    Promise("Whatever a user gets wrong is answered by one line", tests("test_mistakes::")),
    Promise("The run folder opens in `transformers` as it is", opens_in_transformers),
    Promise("python -m trainer evaluate runs/sst2 --data sst2", evaluate),
    Promise("It loads and answers the same in TF 2.12.1 and 2.20.0", compatibility),
    Promise("its first answer takes 0.2 seconds from a cold start", serve_and_ask),
    Promise("a new version in the base path takes over while the server runs", tests("test_server::")),
    Promise("gives the ids of google-research/bert's `FullTokenizer`", tests("test_word_pieces::")),
    Promise("The hidden states of MiniLM are those of `transformers`", tests("test_bert::test_hidden_states", "test_bert::test_packed_equals")),
    Promise("Imports run one way", tests("test_imports::")),
    Promise("Fine-tuning MiniLM, SST-2", speed("sst2", "transformers", 1.5, "ours, random batches")),
    Promise("One text of 16 pieces", speed("texts, 1 x 16", "transformers, ids", 1.25, SERVED)),
    Promise("32 sentences of SST-2", speed("texts, 32 sentences", "transformers, ids", 1.25, SERVED)),
    Promise("its rows may have two texts", tests("test_finetune::test_pairs", "test_reader::test_pairs")),
    Promise("Raw text goes in, words with their tags and places come out", tests("test_tag::", "test_tagging::")),
    Promise("multiword tokens and empty nodes as the format says", tests("test_conll::")),
    Promise("is read in windows that overlap", tests("test_tag::test_windows", "test_reader::test_windows")),
    Promise("aligned as the scorer of CoNLL 2018 does it", tests("test_metrics::")),
    Promise("Tagging, UPOS on dev", scores("tagging_en", accuracy=0.958, words_f1=0.98, tags_f1=0.94)),
    Promise("100,000 characters in one request", long_text),
    Promise("Chinese, from random weights", scores("tagging_zh", accuracy=0.85, words_f1=0.85, tags_f1=0.75)),
    Promise("Files are read as they come: MNLI, SNLI and OCNLI", tests("test_files::test_inference", "test_files::test_real_inference")),
    Promise("Does one sentence follow from another?", scores("nli", accuracy=0.645)),
    Promise("A text goes in, and what a language model writes behind it comes out", tests("test_text::", "test_options::", "test_spelling::")),
    Promise("A text with `[MASK]` in it goes in, and what the model puts there comes out", tests("test_pretrain::test_a_run_fills")),
    Promise("Of one mask these are the answers of transformers' fill-mask pipeline, to 1e-4", tests("test_masks::")),
    Promise("A question and a context of any length go in", scores("qa", exact=40, f1=50)),
    Promise("SQuAD's JSON, 1.1 and 2.0, CMRC 2018, DRCD, XQuAD, and JSON lines", tests("test_squad::")),
    Promise("`answer` is `context[start:end]`", tests("test_span::", "test_qa::")),
    Promise("those of the official scripts", official_scores),
    Promise("of a context of 50,000 words", long_contexts),
    Promise("answering always F1 26.6; with the best threshold", threshold),
    Promise("a connection that breaks off or stalls is taken up where it ended", tests("test_download::")),
    Promise("A copy in `$LINEAGE_DATA` comes first", tests("test_datasets::")),
    Promise("reads from TensorFlow Datasets, `hf:nyu-mll/glue/mnli` from Hugging Face datasets", tests("test_catalogues::")),
    Promise("Weights go by a short name, or as any repository of BERT's type", tests("test_hub::")),
    Promise("without the paths of your machine, with a model card", tests("test_export_hf::")),
    Promise("gives the same ids and logits", logits),
    Promise("SIGTERM reaches it, and it answers what is under way first", tests("test_images::")),
    Promise("README.zh.md", readmes_agree),
]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="promises that hold these words")
    parser.add_argument("--folder", help="where the runs lie, and stay")
    options = parser.parse_args()
    readme = " ".join(text_of("").split())
    chosen = [promise for promise in PROMISES if options.only in promise.quote]
    if not chosen:
        parser.error(f"--only: expected words of a promise, received {options.only!r}")
    fallen, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lineage-acceptance.") as temporary:
        folder = Path(options.folder or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        shop = Workshop(folder)
        for number, promise in enumerate(chosen, 1):
            started = time.monotonic()
            try:
                if promise.quote not in readme:
                    raise Fallen("neither README.md nor docs/ says this (any more)")
                state, words = "holds", promise.check(shop)
            except Fallen as error:
                state, words = "FALLS", str(error)
            except Exception as error:  # a promise that cannot be tried falls
                state, words = "FALLS", f"{type(error).__name__}: {error}"
            fallen += state == "FALLS"
            words = " ".join(str(words).split())
            print(f"{number:>2} {state}  {promise.quote}: {words}  [{time.monotonic() - started:.0f} s]", flush=True)
    print(
        f"{len(chosen) - fallen} of {len(chosen)} promises hold, in {(time.monotonic() - began) / 60:.0f} minutes; run by: make acceptance"
    )
    sys.exit(1 if fallen else 0)


if __name__ == "__main__":
    main()

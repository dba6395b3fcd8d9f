"""Fixtures that tests share: a tiny vocabulary, a tiny BERT folder, a trained run, its export, a server that serves it.

Real data and golden values lie outside the project: LINEAGE_DATA names the folder (default: `shared/data` beside the
checkout, golden values in `golden` beside it). Tests that need them are skipped where they are absent.
"""

import contextlib
import fcntl
import gc
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("LINEAGE_DATA") or ROOT.parent / "shared" / "data")
GOLDEN = DATA.parent / "golden"

VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "!", ",", ".", "，", "。", "（", "`", "=", "<", ">", "#",
    "mask", "a", "b", "c", "cafe", "good", "bad", "film", "fine", "very", "not", "un", "##un", "##a", "##b", "##c",
    "##able", "##1", "1", "2", "ss", "ß", "σ", "ς", "α", "##α", "##ς", "##σ", "i", "中", "国", "人", "好", "坏", "電",
    "A", "Good", "Café", "É", "é", "##É", "##é",
]  # fmt: skip

# Characters of texts that few programs expect
ALPHABET = [
    "a", "b", "c", "good", "café", "cafe\u0301", "not", "unable", "中", "国", "人", "电", "\U00020000", "\U0002f800", "㐀", "々", "，",
    "。", "“", "！", "…", "(", ",", ".", "'", "-", "👍", "👨\u200d👩\u200d👧", "🇨🇳", "☃\ufe0f", "\u0301", "\u200b", "\u00ad", "\ufeff", "\x00",
    "\x1b", "\ufffd", " ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "İ", "ß", "Σ", "ﬁ", "①", "ｆ", "가", "ไทย", "नि",
]  # fmt: skip


def needs(path):
    return pytest.mark.skipif(not path.exists(), reason=f"{path} is not there (set LINEAGE_DATA)")


def write_bert_folder(folder, *, seed=0, vocabulary=VOCABULARY, layers=2, width=32, heads=4, **config):
    """Writes random weights of a tiny BERT in Hugging Face's form; returns the folder."""
    import keras

    from trainer.architectures.bert import Bert

    config = {
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "layer_norm_eps": 1e-12,
    } | config
    keras.utils.set_random_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    bert = Bert()
    model = bert.build(bert.from_settings(config | {"model_type": "bert"}, folder), {}, seed=0, packed=False)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(bert.to_bytes(model))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return folder


def encoder_of(folder, *, packed=False, **wants):
    """Returns the encoder of a folder of weights, and the names of the tensors that it does not use."""
    from trainer.architectures import table

    architecture, config = table.read(folder)
    model = architecture.build(config, wants, seed=0, packed=packed)
    return model, architecture.load(model, folder)


def pytest_configure(config):
    """Imports TensorFlow before the tests do; not in the process that only hands them out."""
    if config.getoption("numprocesses", None) and not os.environ.get("PYTEST_XDIST_WORKER"):
        return
    from trainer import quiet  # noqa: F401

    # Of what was imported nothing will be garbage, and graphs are made of many small objects: with Python's defaults a tenth
    # of the time goes into looking for garbage.
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


# The slowest files run first, so that of several processes none waits for another at the end.
LONGEST = (
    "test_finetune.py", "test_lineage.py", "test_compare.py", "test_tag_crf.py", "test_language.py", "test_pretrain.py",
    "test_tag.py", "test_evaluate.py", "test_qa.py", "test_tables.py", "test_units.py", "test_litert.py", "test_decode.py",
    "test_write.py", "test_mistakes.py", "test_workers.py", "test_library.py", "test_span.py", "test_loop.py",
    "test_label_set.py", "test_recompute.py", "test_regress.py", "test_checkpoint.py", "test_server.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    rank = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONGEST)))


def shared(tmp_path_factory, name, make):
    """Returns the path that `make(folder)` returns; it is called once a test run, by the first process that asks."""
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent  # the base is this worker's alone
    folder, note = root / f"shared-{name}", root / f"shared-{name}.path"
    with open(root / f"shared-{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            folder.mkdir()
            note.write_text(str(make(folder)))
    return Path(note.read_text())


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory):
    """A tiny BERT of one layer: most of the time of a tiny training is the tracing of its layers."""
    return shared(tmp_path_factory, "bert", lambda folder: write_bert_folder(folder / "tiny", layers=1))


def write_examples(path, count=64, seed=0):
    """Writes `label sentence` lines that a tiny model can learn: good and 好 are positive, bad and 坏 negative."""
    random = np.random.default_rng(seed)
    lines = []
    for i in range(count):
        words = list(random.choice(["a", "film", "very", "中", "国", "人"], random.integers(1, 12)))
        words.insert(random.integers(len(words) + 1), [["bad", "坏"], ["good", "好"]][i % 2][random.integers(2)])
        lines.append(f"{i % 2} {' '.join(words)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


LEXICON = {
    "a": "DET", "film": "NOUN", "中国": "NOUN", "人": "NOUN", "good": "ADJ", "bad": "ADJ", "好": "ADJ", "very": "ADV",
    "ab": "DET NOUN", "café": "NOUN", "b.c": "NOUN",
}  # fmt: skip


def write_treebank(path, count=64, seed=0):
    """Writes CoNLL-U that a tiny model can learn; `ab` is a multiword token of `a` and `b`, `中国` and `b.c` are one word."""
    random = np.random.default_rng(seed)
    sentences = []
    for _ in range(count):
        lines, number = ["# a comment"], 1
        forms = [str(form) for form in random.choice(list(LEXICON), random.integers(1, 9))]
        for i, form in enumerate(forms):
            last = i == len(forms) - 1
            space = "SpaceAfter=No" if last or "人" in form or "好" in form else "_"
            tags = LEXICON[form].split()
            if len(tags) > 1:
                lines.append("\t".join([f"{number}-{number + 1}", form, *"_" * 7, space]))
            for word, tag in zip(form if len(tags) > 1 else [form], tags, strict=True):
                misc = "_" if len(tags) > 1 else space
                lines.append("\t".join([str(number), word, "_", tag, tag.lower(), *"_" * 4, misc]))
                number += 1
        lines.append("\t".join([str(number), ".", "_", "PUNCT", ".", *"_" * 5]))
        sentences.append("\n".join(lines) + "\n\n")
    path.write_text("".join(sentences), encoding="utf-8")
    return path


def write_questions(path, count=64, seed=0):
    """Writes SQuAD JSON that a tiny model can learn: `a` asks for the good word of the context, `b` for the bad one; every
    eighth question has no answer. A paragraph has two questions, and their answers stand among other words."""
    random = np.random.default_rng(seed)
    paragraphs = []
    for i in range(count // 2):
        words = [str(word) for word in random.choice(["film", "very", "1", "2", "中国", "人"], random.integers(2, 24))]
        for word in [["good", "好"][random.integers(2)], ["bad", "坏"][random.integers(2)]][: 1 + (i % 4 > 0)]:
            words.insert(random.integers(len(words) + 1), word)
        context = " ".join(words)
        questions = []
        for question, texts in (("a", ("good", "好")), ("b", ("bad", "坏"))):
            text = next((text for text in texts if text in words), None)
            answers = [{"text": text, "answer_start": context.index(text)}] if text else []
            questions.append({"id": f"{i}{question}", "question": question, "answers": answers})
        paragraphs.append({"context": context, "qas": questions})
    content = {"version": "v2.0", "data": [{"title": "all", "paragraphs": paragraphs}]}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def cli(capsys, *arguments):
    """Runs `python -m trainer` in this process; returns (exit status, standard output, standard error)."""
    return status_of(*arguments), *capsys.readouterr()


def said_by(*arguments):
    """As `cli`, for fixtures that several tests share."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        return status_of(*arguments), out.getvalue(), err.getvalue()


def status_of(*arguments):
    from trainer.__main__ import main

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        main([str(argument) for argument in arguments])
        return 0
    except SystemExit as stop:
        return stop.code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def run_folder(bert_folder, tmp_path_factory):
    """A finished sentiment run of the tiny BERT, good on its own kind of sentences."""
    make = lambda folder: train_tiny(
        "sentiment", write_examples, folder, ".txt", bert_folder, epochs=3, rows=512, batch_size=16
    )
    return shared(tmp_path_factory, "runs", make)


@pytest.fixture(scope="session")
def tagging_run(bert_folder, tmp_path_factory):
    """A finished tagging run of the tiny BERT, good on its own kind of sentences."""
    make = lambda folder: train_tiny(
        "tagging", write_treebank, folder, ".conllu", bert_folder, epochs=4, rows=512, batch_size=8
    )
    return shared(tmp_path_factory, "tagging", make)


@pytest.fixture(scope="session")
def qa_run(bert_folder, tmp_path_factory):
    """A finished question answering run of the tiny BERT, good on its own kind of questions."""
    options = {"epochs": 4, "rows": 640, "batch_size": 8, "max_length": 32, "doc_stride": 12}
    make = lambda folder: train_tiny("qa", write_questions, folder, ".json", bert_folder, **options)
    return shared(tmp_path_factory, "qa", make)


def train_tiny(task, write, folder, suffix, init, *, rows=128, **options):
    """Writes train and dev files, trains on them; returns the run folder, which lies beside them.

    Few epochs of many rows: the graphs that read the data are made anew for each.
    """
    from trainer.__main__ import main

    train, dev = write(folder / f"train{suffix}", rows), write(folder / f"dev{suffix}", 40, seed=1)
    options = {"learning_rate": 3e-3, "max_length": 16, "seed": 7} | options
    options |= {"train": train, "dev": dev, "init": init, "out": folder / "run"}
    main(["finetune", task, *[f"--{name}={value}" for name, value in options.items()]])
    return folder / "run"


@pytest.fixture(scope="session")
def export_folder(run_folder, tmp_path_factory):
    from serving.export import export

    def make(folder):
        export(run_folder, folder / "sentiment")
        return folder / "sentiment"

    return shared(tmp_path_factory, "exports", make)


def answers_of_export(path, task, rows, size, signature=None):
    """Returns the answers of an exported model, run in a session without the server, joined to its rows."""
    from serving.server.models.servable import Servable
    from trainer.tasks.table import answers, requests

    servable, results = Servable(path), []
    for key, inputs, batch in requests(task, rows, size, signature):
        results += answers(task, batch, servable.predict(key, encoded(inputs)))
    return results


def encoded(inputs):
    """Returns arrays as a server reads them: strings as bytes."""
    encode = np.vectorize(str.encode, otypes=[object])
    return {name: encode(value) if value.dtype == object else value for name, value in inputs.items()}


def free_port():
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]


class Server:
    """A server in a process of its own, as users start it."""

    COMMAND = (sys.executable, "-m", "serving.server")

    def __init__(self, *flags, command=COMMAND, **popen):
        self.port = free_port()
        self.address = f"localhost:{self.port}"
        self.process = subprocess.Popen(
            [*command, f"--port={self.port}", *map(str, flags)],
            **{"cwd": ROOT, "stderr": subprocess.PIPE, "text": True} | popen,
        )
        self.log = []
        for line in self.process.stderr:
            self.log.append(line.rstrip())
            if line.startswith("serving "):
                return
        raise AssertionError(f"server ended with {self.process.wait()}: {self.log}")

    def stop(self):
        self.process.terminate()
        self.log += self.process.communicate(timeout=60)[1].splitlines()
        return self.process.returncode


@pytest.fixture(scope="session")
def server(export_folder):
    server = Server("--model_name=sentiment", f"--model_base_path={export_folder}")
    yield server
    assert server.stop() == 0, server.log


def wait_for(condition, seconds=30):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.1)


@contextlib.contextmanager
def stopped_at(step):
    """Sends SIGTERM, as it were, to the trainings in the block when they have made so many steps."""
    from trainer.training import loop

    stop_if_asked = loop.Training._stop_if_asked

    def stopping(self):
        if self.state.step == step:
            self.signals.received = signal.SIGTERM
        stop_if_asked(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Training, "_stop_if_asked", stopping)
        yield

"""Tasks of two texts served: question answering and inference, beside a task of one text in the same server."""

import json

import numpy as np
import pytest

from serving.client import Client, command
from serving.export import export
from tests.conftest import Server, answers_of_export, train_tiny
from trainer.commands.predict import predict
from trainer.data import files
from trainer.runs.run import Run
from trainer.tasks.table import TASKS

TASK = TASKS["qa"]
ALWAYS = 1.0  # the threshold at which every question is answered


def write_pairs(path, count=64, seed=0):
    """Writes pairs that a tiny model can learn: neutral if the premise has 中国, else by the hypothesis's word."""
    random = np.random.default_rng(seed)
    lines = ["premise\thypothesis\tlabel"]
    for i in range(count):
        label = ("entailment", "contradiction", "neutral")[i % 3]
        word = {"entailment": "good", "contradiction": "bad", "neutral": ("good", "bad")[random.integers(2)]}[label]
        context = " ".join(random.choice(["a", "film", "very"], random.integers(1, 9)))
        lines.append(f"{context} {'中国' if label == 'neutral' else '人'}\tfilm {word}\t{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def nli_run(bert_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nli")
    options = {"epochs": 3, "rows": 512, "batch_size": 8, "learning_rate": 2e-3, "seed": 6}
    return train_tiny("nli", write_pairs, folder, ".tsv", bert_folder, **options)


@pytest.fixture(scope="module")
def exports(qa_run, nli_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    qa = export(qa_run, folder / "qa", null_threshold=ALWAYS)
    return {"qa": (folder / "qa", qa), "nli": (folder / "nli", export(nli_run, folder / "nli"))}


@pytest.fixture(scope="module")
def server(exports, export_folder, tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "models.config"
    folders = {"sentiment": export_folder} | {name: folder for name, (folder, _) in exports.items()}
    models = "".join(f'config {{ name: "{name}" base_path: "{folder}" }}\n' for name, folder in folders.items())
    config.write_text(f"model_config_list {{ {models} }}")
    server = Server(f"--model_config_file={config}")
    yield server
    assert server.stop() == 0, server.log


@pytest.fixture(scope="module")
def questions(qa_run):
    rows = files.read(qa_run.parent / "dev.json", TASK)
    long = " ".join(["very 1 film 2"] * 400 + ["好", "👍"])  # more than 32 windows
    edge_cases = [
        ("", "a good film"),
        ("a", ""),
        ("a", " \u3000\t"),
        ("", ""),
        ("b", "film 坏 人 " * 9),
        ("a", long),
        ("a " * 99, "好"),
    ]
    return rows + [{"question": question, "context": context} for question, context in edge_cases]


def test_signatures(exports):
    signatures = exports["qa"][1]["signatures"]
    strings, numbers = {"question": ["string", [-1]], "context": ["string", [-1]]}, ["float32", [-1]]
    assert signatures["serving_default"] == {
        "inputs": strings,
        "outputs": {"answer": ["string", [-1]], "start": ["int32", [-1]], "end": ["int32", [-1]], "score": numbers, "null_score": numbers},
    }  # fmt: skip
    assert signatures["nbest"] == {
        "inputs": strings,
        "outputs": {"answers": ["string", [-1, 20]], "starts": ["int32", [-1, 20]], "ends": ["int32", [-1, 20]], "scores": ["float32", [-1, 20]]},
    }  # fmt: skip
    texts = {name: ["string", [-1]] for name in ("premise", "hypothesis")}
    assert exports["nli"][1]["signatures"]["serving_default"]["inputs"] == texts


@pytest.fixture(scope="module")
def expected(qa_run, questions):
    """What `predict` answers: {signature: rows}."""
    run = Run(qa_run, null_threshold=ALWAYS)
    return {name: list(predict(run, questions, signature=name, batch_size=8)) for name in (None, "nbest")}


def test_exported_equals_predict(exports, qa_run, questions, expected):
    for signature, rows in expected.items():
        assert answers_of_export(exports["qa"][0] / "1", TASK, questions, 8, signature) == rows
        for row in rows:
            texts = [(row["answer"], row["start"], row["end"])] if signature is None else []
            texts = texts or list(zip(row["answers"], row["starts"], row["ends"], strict=True))
            assert all(text == row["context"][start:end] for text, start, end in texts)
    answers = expected[None]
    assert [row["answer"] for row in answers[-6:]] == ["", "", "", "坏", "好", "好"]
    usual = Run(qa_run).setup.null_threshold  # at which the run itself would not have answered all
    assert any(row["answer"] for row in answers if row["null_score"] > usual)


def test_exported_inference_equals_predict(exports, nli_run):
    run = Run(nli_run)
    rows = files.read(nli_run.parent / "dev.tsv", run.task)
    labelled = files.read(nli_run.parent / "dev.tsv", run.task, run.setup.labels)
    rows += [
        {"premise": premise, "hypothesis": hypothesis}
        for premise, hypothesis in (("", "a"), ("a", ""), ("  ", "\u3000"), ("a " * 99, "b " * 99))
    ]
    expected = list(predict(run, rows, batch_size=8))
    assert answers_of_export(exports["nli"][0] / "1", run.task, rows, 8) == expected
    assert sum(a["label"] == b["label"] for a, b in zip(expected, labelled, strict=False)) > 36  # of 40
    assert set(expected[0]["probabilities"]) == {"contradiction", "entailment", "neutral"}


def test_client(server, questions, expected, capsys):
    answers = Client(server.address).answer
    for signature, rows in expected.items():
        for row, expected_row in zip(answers("qa", questions, signature=signature), rows, strict=True):
            for name, value in expected_row.items():
                if name.endswith(("score", "scores")):
                    np.testing.assert_allclose(row[name], value, atol=1e-5)
                elif signature is None or name in ("question", "context"):
                    assert row[name] == value
                else:  # equally good answers may change places
                    assert row[name][:1] == value[:1] and len(row[name]) == len(value)

    def ask(*arguments):
        command.main([*arguments, f"--server={server.address}"])
        return json.loads(capsys.readouterr().out)

    cases = {
        "qa": (["--question", "b", "--context", "very bad film"], {"answer": "bad", "start": 5, "end": 8}),
        "nli": (["--premise", "a film 人", "--hypothesis", "film good"], {"label": "entailment"}),
        "sentiment": (["--text", "a good film"], {"label": "positive"}),
    }
    for task, (flags, part) in cases.items():
        printed = ask(task, *flags)
        assert printed | part == printed
    assert ask("qa", *cases["qa"][0], "--signature", "nbest")["answers"][0] == "bad"

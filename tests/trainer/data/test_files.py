"""Files of three forms to rows, and one line for a malformed file."""

import gzip
import io
import json
import re
from dataclasses import replace

import pytest

from tests.conftest import DATA, needs
from trainer.data import files
from trainer.errors import Mistake
from trainer.tasks.table import TASKS

TASK = TASKS["sentiment"]
LABELS = ["negative", "positive"]

ROWS = [{"text": "a fine film", "label": "positive"}, {"text": "坏 ，片", "label": "negative"}]
FORMS = {
    "glue.tsv": "sentence\tlabel\na fine film\t1\n坏 ，片\t0\n",
    "columns.tsv": "id\tlabel\tsentence\n7\tpositive\ta fine film\n8\tnegative\t坏 ，片",
    "windows.tsv": "\ufeffsentence\tlabel\r\na fine film\t1\r\n坏 ，片\t0\r\n",
    "label_first.txt": "1 a fine film\n0 坏 ，片\n",
    "rows.jsonl": '{"text": "a fine film", "label": "positive"}\n{"text": "坏 ，片", "label": 0, "more": [1]}\n',
}

MALFORMED = {
    "missing file": ("nothing.tsv", None, "nothing.tsv: cannot be read"),
    "empty file": ("empty.tsv", b"", "empty.tsv: expected rows of text, label, found none"),
    "header alone": ("head.tsv", b"sentence\tlabel\n", "expected rows of text, label, found none"),
    "columns": (
        "c.tsv",
        b"sentence\tlabel\nfine\t1\nbad\t0\t9\n",
        "c.tsv:3: expected 2 columns (sentence, label), found 3",
    ),
    "label": (
        "l.tsv",
        b"sentence\tlabel\nfine\t2\n",
        "l.tsv:2: expected a label of negative (or 0), positive (or 1), found '2'",
    ),
    "no label": ("n.txt", b"1 fine\nfine\n", "n.txt:2: expected `label sentence`"),
    "no sentence": ("s.txt", b"1 fine\n0 \n", "s.txt:2: expected `label sentence`"),
    "empty line": ("e.txt", b"1 fine\n\n0 bad\n", "e.txt:2: expected a row, found an empty line"),
    "bytes": ("b.txt", b"1 fine\n0 b\xffd\n", "b.txt:2: expected UTF-8, found byte 0xff at 3"),
    "not JSON": (
        "j.jsonl",
        b'{"text": "fine", "label": 1}\n{"text": \n',
        "j.jsonl:2: expected a JSON object, found '{\"text\": '",
    ),
    "no object": ("o.jsonl", b'["fine", 1]\n', "o.jsonl:1: expected a JSON object with text, label"),
    "no field": ("f.jsonl", b'{"text": "fine"}\n', "f.jsonl:1: expected the fields text, label, found text"),
    "no string": ("t.jsonl", b'{"text": 5, "label": 1}\n', "t.jsonl:1: expected text to be a string, found '5'"),
    "other columns": (
        "x.tsv",
        b"phrase\tclass\nfine\t1\n",
        "x.tsv:1: expected the names of its 2 tab-separated columns in the first line (text, label), found 'phrase\\tclass'",
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(tmp_path, name):
    (tmp_path / name).write_bytes(FORMS[name].encode("utf-8"))
    assert files.read(tmp_path / name, TASK, LABELS) == ROWS
    assert files.read(tmp_path / name, TASK, LABELS, limit=1) == ROWS[:1]
    lines = files.LABELLED if name == "label_first.txt" else None
    assert files.read(tmp_path / name, TASK, lines=lines) == [{"text": row["text"]} for row in ROWS]


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(tmp_path, case):
    name, content, message = MALFORMED[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Mistake, match=re.escape(message)) as caught:
        files.read(tmp_path / name, TASK, LABELS)
    assert "\n" not in str(caught.value)


def test_labels_may_come_from_the_data(tmp_path):
    task = TASKS["classification"]
    for labels, order in ((["sports", "art", "law"], ["art", "law", "sports"]), (["10", "9", "1"], ["1", "9", "10"])):
        (tmp_path / "train.txt").write_text("".join(f"{label} some text\n" for label in labels * 2))
        rows = files.read(tmp_path / "train.txt", task, files.ANY, lines=files.LABELLED)
        assert [row["label"] for row in rows] == labels * 2
        assert files.labels_of(rows, task) == order
    (tmp_path / "columns.tsv").write_text("label\ttext_a\n\tno label\n")
    with pytest.raises(Mistake, match=r"columns.tsv:2: expected a label, found none"):
        files.read(tmp_path / "columns.tsv", task, files.ANY)


@pytest.mark.parametrize("names", ["sentence1\tsentence2", "question\tsentence", "premise\thypothesis", "text\ttext_b"])
def test_two_texts(tmp_path, names):
    (tmp_path / "pairs.tsv").write_text(f"index\t{names}\tlabel\n0\tone\ttwo\tyes\n")
    task = TASKS["classification"]
    rows = files.read(tmp_path / "pairs.tsv", task, files.ANY)
    assert rows == [{"text": "one", "text_b": "two", "label": "yes"}]
    assert task.input_of(rows[0]) == ("serving_default", ("text", "text_b"))


INFERENCE = {
    "mnli.jsonl": '{"gold_label": "%s", "genre": "fiction", "sentence1": "%s", "sentence2": "%s", "pairID": "1"}\n',
    "ocnli.json": '{"level": "easy", "sentence1": "%s", "sentence2": "%s", "label": "%s", "label0": null, "id": 3}\n',
    "ours.jsonl": '{"premise": "%s", "hypothesis": "%s", "label": "%s"}\n',
    "rte.tsv": "%s\t%s\t%s\t%s\n",
    "sick.txt": "%s\t%s\t%s\t%s\t%s\n",
}
PAIRS = [("a, b", "b", "entailment"), ("人", "b c", "-"), ("c", "人，", "neutral")]


@pytest.mark.parametrize("name", INFERENCE)
def test_inference(tmp_path, capsys, name):
    form = INFERENCE[name]
    if name == "mnli.jsonl":
        lines = [form % (label, first, second) for first, second, label in PAIRS]
    elif name == "rte.tsv":
        lines = ["index\tsentence1\tsentence2\tlabel\n"] + [form % (7, *pair) for pair in PAIRS]
    elif name == "sick.txt":
        lines = ["pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"]
        lines += [form % (1, first, second, 4.5, label.upper()) for first, second, label in PAIRS]
    else:
        lines = [form % pair for pair in PAIRS]
    (tmp_path / name).write_text("".join(lines), encoding="utf-8")
    expected = [
        {"premise": first, "hypothesis": second, "label": label} for first, second, label in PAIRS if label != "-"
    ]
    task = TASKS["nli"]
    labels = ["contradiction", "entailment", "neutral"]
    assert files.read(tmp_path / name, task, labels) == expected
    assert capsys.readouterr().err == f"{tmp_path / name}: rows without a gold label (- or -1) and left out: 1\n"
    rows = files.read(tmp_path / name, task, files.ANY, limit=2)
    assert [row["label"].lower() for row in rows] == ["entailment", "neutral"]
    inputs = files.read(tmp_path / name, task)
    assert inputs == [{"premise": first, "hypothesis": second} for first, second, _ in PAIRS]


def test_labels_of_the_hub_and_of_the_whole_sick(tmp_path):
    rows = [{"premise": "a", "hypothesis": "b", "label": label} for label in (0, -1, 2)]
    (tmp_path / "snli.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row["label"] for row in files.read(tmp_path / "snli.jsonl", TASKS["nli"], files.ANY)] == ["0", "2"]
    (tmp_path / "SICK.txt").write_text("pair_ID\tsentence_A\tsentence_B\tentailment_label\n1\ta\tb\tNEUTRAL\n")
    assert files.read(tmp_path / "SICK.txt", TASKS["nli"], ["neutral"])[0]["label"] == "neutral"


def test_packed_treebanks(tmp_path):
    (tmp_path / "a.conllu.gz").write_bytes(
        gzip.compress(b"1\tgood\t_\tADJ" + b"\t_" * 6 + b"\n\n1\tbad\t_\tADJ" + b"\t_" * 6 + b"\n")
    )
    assert files.read(tmp_path / "a.conllu.gz", TASKS["tagging"]) == [{"words": ["good"]}, {"words": ["bad"]}]
    assert [row["tags"] for row in files.read(tmp_path / "a.conllu.gz", TASKS["tagging"], files.ANY)] == [["ADJ"]] * 2


def test_a_minus_is_a_label_elsewhere(tmp_path):
    (tmp_path / "a.txt").write_text("+ good\n- bad\n")
    rows = files.read(tmp_path / "a.txt", TASKS["classification"], files.ANY)
    assert [row["label"] for row in rows] == ["+", "-"]


@pytest.mark.parametrize(
    "path, count, left_out",
    [
        ("nli-en/mnli/multinli_train_sample12988.jsonl", 12988, 0),
        ("nli-en/rte/dev.tsv", 277, 0),
        ("nli-en/sick/SICK_train.txt", 4500, 0),
        ("nli-zh/ocnli/train.10k.json", 9985, 15),
    ],
)
@needs(DATA / "nli-en")
def test_real_inference(path, count, left_out, capsys):
    assert len(files.read(DATA / path, TASKS["nli"], files.ANY)) == count
    assert capsys.readouterr().err.count(f"left out: {left_out}\n") == bool(left_out)


def test_rows_have_all_one_text_or_all_two(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "a", "text_b": "b", "label": "y"}\n')
    with pytest.raises(Mistake, match=r"a.jsonl:2: expected text as in the rows before, found text, text_b"):
        files.read(tmp_path / "a.jsonl", TASKS["classification"], files.ANY)
    assert len(files.read(tmp_path / "a.jsonl", TASKS["classification"], files.ANY, inputs=[("text",)])) == 2


def test_a_number_is_a_name_where_labels_are_numbers(tmp_path):
    (tmp_path / "a.txt").write_text("0 what\n")
    with pytest.raises(Mistake, match=r"a.txt:1: expected a label of 1, 2, 3, found '0'"):
        files.read(tmp_path / "a.txt", TASKS["classification"], ["1", "2", "3"])


NOT_CERTAIN = {
    "CSV without names": ("classification", "a.csv", "good,1\n", "a.csv:1: expected columns named text, label, found"),
    "CSV without names, nor by its own": (
        "classification",
        "a.txt",
        "1,good film\n0,bad film\n",
        "a.txt:1: expected a label before the text",
    ),
    "no names": ("classification", "a.tsv", "good film\t1\nbad\t0\n", "a.tsv:1: expected the names of its 2 tab-sep"),
    "no labels": ("classification", "a.txt", "1 good\na fine film\n", "a.txt:2: expected a label before the text"),
}


@pytest.mark.parametrize("case", NOT_CERTAIN)
def test_uncertain_lines_are_refused(tmp_path, case):
    task, name, content, message = NOT_CERTAIN[case]
    (tmp_path / name).write_text(content)
    with pytest.raises(Mistake, match=re.escape(message)):
        files.read(tmp_path / name, TASKS[task], files.ANY)


@pytest.mark.parametrize(
    "content, labels",
    [("0 good\n1 bad\n", None), ("positive a\nnegative b\n", None), ("x a\ny b\n", ["x", "y"]), ("7 a\n", ())],
)
def test_labels_are_no_text(tmp_path, content, labels):
    path, task = tmp_path / "a.txt", TASK if labels is None else replace(TASK, labels=labels)
    path.write_text(content)
    with pytest.raises(
        Mistake, match=r"expected texts, found a label before every one.*--lines labelled .*--lines texts"
    ):
        files.read(path, task)
    texts = content.splitlines()
    assert files.read(path, task, lines=files.TEXTS) == [{"text": text} for text in texts]
    without = [{"text": text.split(" ", 1)[1]} for text in texts]
    assert files.read(path, task, lines=files.LABELLED) == without
    path.write_text(content + "a text of its own\n")
    assert len(files.read(path, task)) == len(texts) + 1


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.tsv", "Sentence\tLabel\na fine film\t1\n坏 ，片\t0\n\n\n"),
        ("a.json", '[{"text": "a fine film", "label": 1},\n {"TEXT": "坏 ，片", "Label": "negative"}]\n'),
        ("-", '{"text": "a fine film", "label": 1}\n{"text": "坏 ，片", "label": 0}\n\n'),
        ("-", "1 a fine film\n0 坏 ，片\n"),
    ],
)
def test_forms_that_people_have(tmp_path, monkeypatch, name, content):
    path = "-" if name == "-" else tmp_path / name
    if name != "-":
        path.write_text(content, encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert files.read(path, TASK, LABELS) == ROWS


def test_a_limit_tells_of_other_shares(tmp_path, capsys):
    path = tmp_path / "a.txt"
    path.write_text("0 bad\n" * 100 + "1 good\n" * 300)
    assert len(files.read(path, TASK, LABELS, limit=40, remedy="; so it is")) == 40
    assert "the first 40 rows hold positive in 0%, all 400 in 75%; so it is\n" in capsys.readouterr().err
    path.write_text("0 bad\n1 good\n1 good\n1 good\n" * 100)
    files.read(path, TASK, LABELS, limit=40)
    assert capsys.readouterr().err == ""


def test_only_line_feeds_end_lines(tmp_path):
    (tmp_path / "a.txt").write_text("1 fine\u2028film\x85\x0bhere\n", encoding="utf-8")
    assert files.read(tmp_path / "a.txt", TASK, LABELS) == [{"text": "fine\u2028film\x85\x0bhere", "label": "positive"}]


@pytest.mark.parametrize(
    "path, count, positive",
    [("sst2-sentences/train.tsv", 6920, 3610), ("stsa/stsa.binary.train", 6920, 3610), ("glue-sst2/dev.tsv", 872, 444)],
)
@needs(DATA / "sentiment-en")
def test_real_files(path, count, positive):
    rows = files.read(DATA / "sentiment-en" / path, TASK, LABELS)
    assert (len(rows), sum(row["label"] == "positive" for row in rows)) == (count, positive)

"""A spreadsheet's file trains, evaluates, predicts and comes back whole, cell by cell."""

import csv
import io
import json

import pytest

from serving.client import command
from tests.conftest import cli, write_examples
from trainer.data import files
from trainer.tasks.table import TASKS

NAMES = ["编号", "Review Text", "Sentiment", "note, as it was", "", ""]


def write_spreadsheet(path, count, seed=0):
    """Writes what a spreadsheet exports where a comma is decimal: a mark, semicolons, line ends of Windows, quotes where they
    are needed, line breaks in cells, empty columns at the end; returns the cells of the rows."""
    lines = write_examples(path, count, seed).read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines):
        label, text = line.split(" ", 1)
        text = [text, f'"{text}"; so', f"{text},\n{text}", f'{text}\r\n"a"'][number % 4]
        rows.append([str(number), text, label, ["", "1,5", "=A1", "好；"][number % 4], "", "x" if number == 3 else ""])
    content = io.StringIO(newline="")
    csv.writer(content, delimiter=";", lineterminator="\r\n").writerows([NAMES, *rows])
    path.write_bytes(b"\xef\xbb\xbf" + content.getvalue().encode("utf-8"))
    return rows


def cells_of(path, separator=";"):
    content = path.read_bytes().decode("utf-8-sig")
    return [*csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)]


@pytest.fixture(scope="module")
def spreadsheet_run(bert_folder, tmp_path_factory):
    """A run trained on a spreadsheet's file; beside it lies dev.csv."""
    from trainer.__main__ import main

    folder = tmp_path_factory.mktemp("spreadsheet")
    write_spreadsheet(folder / "train.csv", 512)
    write_spreadsheet(folder / "dev.csv", 40, seed=1)
    options = {"train": folder / "train.csv", "dev": folder / "dev.csv", "init": bert_folder, "out": folder / "run"}
    options |= {"epochs": 3, "batch_size": 16, "learning_rate": 3e-3, "max_length": 32, "seed": 7}
    main(["finetune", "sentiment", *[f"--{name}={value}" for name, value in options.items()]])
    return folder / "run"


def test_it_learns(spreadsheet_run):
    result = json.loads((spreadsheet_run / "metrics.json").read_text())
    assert result["final"]["accuracy"] >= 0.9 and result["final"]["examples"] == 40


def test_it_comes_back_whole(spreadsheet_run, capsys):
    folder = spreadsheet_run.parent
    rows = cells_of(folder / "dev.csv")[1:]
    options = ["--data", folder / "dev.csv", "--output", folder / "scored.csv"]
    status, out, err = cli(capsys, "evaluate", spreadsheet_run, *options)
    assert status == 0 and json.loads(out)["examples"] == 40
    said = "text: Review Text; label: Sentiment; between them semicolons"
    assert f"columns   {folder / 'dev.csv'}: {said}\n" in err
    assert (folder / "scored.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    names, *scored = cells_of(folder / "scored.csv")
    assert names == [*NAMES, "predicted"] and [row[:-1] for row in scored] == rows
    right = sum(row[-1] == ["negative", "positive"][int(row[2])] for row in scored)
    assert right / 40 == pytest.approx(json.loads(out)["accuracy"])

    status, out, _ = cli(
        capsys, "predict", spreadsheet_run, "--input", folder / "dev.csv", "--output", folder / "answers.csv"
    )
    assert (status, out) == (0, "")
    names, *answered = cells_of(folder / "answers.csv")
    assert names == [*NAMES, "label", "score", "probability_negative", "probability_positive"]
    assert [row[: len(NAMES)] for row in answered] == rows
    assert [row[len(NAMES)] for row in answered] == [row[-1] for row in scored]
    for row in answered:
        score, *probabilities = map(float, row[-3:])
        assert score == max(probabilities) and sum(probabilities) == pytest.approx(1, abs=1e-5)

    # What was written is read again: the answer's columns are more columns
    status, out, err = cli(capsys, "predict", spreadsheet_run, "--input", folder / "answers.csv")
    again = [json.loads(line) for line in out.splitlines()]
    assert status == 0, err
    assert [list(row) for row in again[:3:2]] == [
        ["text", "编号", "Sentiment", "note, as it was", "label_given", "score_given", "probability_negative",
         "probability_positive", "label", "score", "probabilities"]
    ] * 2  # fmt: skip
    assert again[3]["column_6"] == "x" and [row["label"] for row in again] == [row["label_given"] for row in again]
    assert [row["text"] for row in again] == [row[1] for row in rows]


def test_tables_of_other_forms(spreadsheet_run, capsys, tmp_path):
    rows = [{"id": 7, "text": 'good "film"\n', "label": 1}, {"id": None, "text": "坏，", "more": [1]}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ask = lambda name, *options: cli(
        capsys, "predict", spreadsheet_run, "--input", tmp_path / name, "--output", *options
    )
    assert ask("rows.jsonl", tmp_path / "out.csv")[0] == 0
    names, *cells = cells_of(tmp_path / "out.csv", ",")
    assert names[:4] == ["id", "text", "label_given", "more"] and names[4:6] == ["label", "score"]
    assert [row[:4] for row in cells] == [["7", 'good "film"\n', "1", ""], ["", "坏，", "", "[1]"]]
    assert ask("rows.jsonl", tmp_path / "out.jsonl")[0] == 0
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert list(answers[0])[:3] == ["text", "id", "label_given"] and answers[1]["more"] == [1]

    (tmp_path / "texts.txt").write_text("good film\n坏\n", encoding="utf-8")
    assert ask("texts.txt", tmp_path / "out.tsv")[0] == 0
    names, *cells = cells_of(tmp_path / "out.tsv", "\t")
    assert names[:2] == ["text", "label"] and [row[0] for row in cells] == ["good film", "坏"]

    (tmp_path / "numbers.tsv").write_text("7\tgood film\n8\t坏\n", encoding="utf-8")
    status, _, err = ask("numbers.tsv", tmp_path / "out.csv", "--text_column=2")
    assert status == 0 and "without names; the first line is a row: '7, good film'" in err
    assert cells_of(tmp_path / "out.csv", ",")[1][:2] == ["7", "good film"]
    status, out, err = ask("rows.jsonl", tmp_path / "rows.jsonl")
    assert (status, out) == (2, "") and "expected another file than --input" in err


def test_columns_of_a_run_are_the_usual_ones(bert_folder, capsys, tmp_path):
    content = "text~remark~grade\n" + "a~good film~good\nb~bad film~bad\n" * 4
    (tmp_path / "train.csv").write_text(content)
    options = ["--train", tmp_path / "train.csv", "--init", bert_folder, "--out", tmp_path / "run", "--epochs=1"]
    flags = ["--text_column=remark", "--label_column=3", "--separator=~", "--max_length=16"]
    status, _, err = cli(capsys, "finetune", "classification", *options, *flags)
    assert status == 0 and "text: remark; label: grade; between them '~'" in err
    status, out, _ = cli(capsys, "predict", tmp_path / "run", "--input", tmp_path / "train.csv")
    first = json.loads(out.splitlines()[0])
    assert status == 0 and first["text"] == "good film" and first["text_given"] == "a" and first["grade"] == "good"
    assert cli(capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "train.csv")[0] == 0
    status, out, err = cli(capsys, "finetune", "classification", *options, "--max_length=16")
    assert (status, out) == (2, "") and "holds a run with --text_column remark, not None" in err
    (tmp_path / "rows.jsonl").write_text('{"text": "a film"}\n')
    status, out, _ = cli(capsys, "predict", tmp_path / "run", "--input", tmp_path / "rows.jsonl")
    assert status == 0 and json.loads(out)["text"] == "a film"


def test_questions_and_tags(qa_run, tagging_run, capsys, tmp_path):
    rows = [["a", "very good film", "good", ""], ["b", 'a "bad", film', "bad", "3"], ["b", "good", "", ""]]
    content = io.StringIO(newline="")
    csv.writer(content).writerows([["question", "context", "answer", "answer_start"], *rows])
    (tmp_path / "questions.csv").write_text(content.getvalue(), newline="")
    golds = files.read(tmp_path / "questions.csv", TASKS["qa"], files.ANY)
    assert [row["answers"] for row in golds] == [
        [{"text": "good", "answer_start": 5}], [{"text": "bad", "answer_start": 3}], [],
    ]  # fmt: skip
    assert cli(capsys, "evaluate", qa_run, "--data", tmp_path / "questions.csv")[0] == 0
    given = ["--input", tmp_path / "questions.csv", "--output", tmp_path / "answers.csv"]
    assert cli(capsys, "predict", qa_run, *given)[0] == 0
    names, *cells = cells_of(tmp_path / "answers.csv", ",")
    assert names[:4] == ["question", "context", "answer_given", "answer_start"] and [row[:4] for row in cells] == rows
    status, _, err = cli(
        capsys, "evaluate", qa_run, "--data", tmp_path / "questions.csv", "--output", tmp_path / "x.csv"
    )
    assert status == 2 and "expected another ending for qa" in err

    (tmp_path / "tags.csv").write_text('words,tags\na good film,DET ADJ NOUN\n"[""人""]",NOUN\n', encoding="utf-8")
    rows = files.read(tmp_path / "tags.csv", TASKS["tagging"], files.ANY)
    assert [row["words"] for row in rows] == [["a", "good", "film"], ["人"]]
    assert cli(capsys, "evaluate", tagging_run, "--data", tmp_path / "tags.csv")[0] == 0
    status, out, _ = cli(capsys, "predict", tagging_run, "--input", tmp_path / "tags.csv")
    assert status == 0 and json.loads(out.splitlines()[0])["tags_given"] == "DET ADJ NOUN"


def test_the_client_writes_tables(spreadsheet_run, server, tmp_path):
    rows = write_spreadsheet(tmp_path / "ask.csv", 8)
    options = ["--server", server.address, "--input", str(tmp_path / "ask.csv"), "--batch_size=3"]
    command.main(["sentiment", *options, "--text_column=Review Text", "--output", str(tmp_path / "out.csv")])
    names, *cells = cells_of(tmp_path / "out.csv")
    assert names == [*NAMES, "label", "score", "probability_negative", "probability_positive"]
    assert [row[: len(NAMES)] for row in cells] == rows
    with pytest.raises(SystemExit):
        command.main(["sentiment", *options, "--text_column=9", "--output", str(tmp_path / "none.csv")])
    assert not (tmp_path / "none.csv").exists()

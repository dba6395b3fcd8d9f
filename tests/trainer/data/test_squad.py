"""Questions from files: SQuAD's JSON, packed or not, and JSON lines; one line for what is malformed; official scores."""

import gzip
import json
import re

import pytest

from tests.conftest import DATA, cli, needs
from trainer.data import files, squad
from trainer.errors import Mistake
from trainer.tasks.table import TASKS

TASK = TASKS["qa"]
ANSWERS = [{"text": "中国", "answer_start": 3}, {"text": "中", "answer_start": 3}]
ROWS = [
    {"id": "x1", "question": "哪里？", "context": "人在 中国。", "answers": ANSWERS},
    {"id": "7", "question": "who", "context": "人在 中国。", "answers": []},
]
DOCUMENT = {
    "version": "v2.0",
    "data": [
        {"title": "nothing", "paragraphs": []},
        {
            "paragraphs": [
                {
                    "context": "人在 中国。",
                    "qas": [
                        {"id": "x1", "question": "哪里？", "answers": ANSWERS, "is_impossible": False},
                        {"id": 7, "question": "who", "answers": [], "plausible_answers": [{"text": "人"}]},
                    ],
                }
            ]
        },
    ],
}
LINES = [ROWS[0], ROWS[1] | {"answers": {"text": [], "answer_start": []}}]
FORMS = {
    "squad.json": json.dumps(DOCUMENT),
    "pretty.json": "\ufeff" + json.dumps(DOCUMENT, indent=1, ensure_ascii=False),
    "lines.jsonl": "".join(json.dumps(row) + "\n" for row in LINES),
    "lines.json": "\n".join(json.dumps(row, ensure_ascii=False) for row in LINES),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_forms(tmp_path, name, packed):
    content = FORMS[name].encode("utf-8")
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert files.read(path, TASK, files.ANY) == ROWS
    assert files.read(path, TASK, files.ANY, limit=1) == ROWS[:1]
    assert files.read(path, TASK) == [{"question": row["question"], "context": row["context"]} for row in ROWS]


def test_one_question_over_several_lines(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(ROWS[0], indent=2))
    assert files.read(tmp_path / "a.json", TASK, files.ANY) == ROWS[:1]


def test_questions_alone_in_columns(tmp_path):
    (tmp_path / "a.tsv").write_text("context\tquestion\nb c\ta\n")
    assert files.read(tmp_path / "a.tsv", TASK) == [{"question": "a", "context": "b c"}]


def test_numbers_are_ids_where_lines_have_none(tmp_path):
    row = {"id": None, "question": "a", "context": "b", "answers": []}
    (tmp_path / "a.jsonl").write_text(2 * (json.dumps(row) + "\n"))
    assert [row["id"] for row in files.read(tmp_path / "a.jsonl", TASK, files.ANY)] == ["1", "2"]


def wrong(**changes):
    return json.dumps({"question": "a", "context": "b", "answers": []} | changes)


MALFORMED = {
    "": "expected rows of question, context, answers, found none",
    '{"data": []}': "expected rows of question, context, answers, found none",
    "1 a film": "f.json: expected SQuAD JSON, or JSON lines with question, context, answers, found '1 a film'",
    '{"data": 5}': "f.json: expected data to be a list, found '5'",
    '{"data": [1]}': "f.json: data[0]: expected a JSON object with paragraphs, found '1'",
    '{"data": [{"paragraphs": [{"qas": [{"question": "a"}]}]}]}': "data[0].paragraphs[0].qas[0]: expected context, found qas",
    '{"data": [{"paragraphs": [{"context": "a"}]}]}': "f.json: data[0].paragraphs[0]: expected qas, found context",
    wrong() + "\n" + '{"question": ': "f.json:2: expected a JSON object, found '{\"question\": '",
    wrong() + "\n\n" + wrong(): "f.json:2: expected a JSON object, found ''",
    wrong(answers="b"): "f.json:1: expected answers to be a list, found '\"b\"'",
    '{"articles": []}': "f.json: expected SQuAD JSON, or JSON lines with question, context, answers; found JSON without data",
    '[{"question": "a"}]': "f.json:[0]: expected context, found question",
    '["question"]': "f.json: expected SQuAD JSON, or JSON lines with question, context, answers; found JSON without data",
    "[" * 200_000: "expected SQuAD JSON, or JSON lines",
    wrong(
        answers={"text": ["b"], "answer_start": []}
    ): "f.json:1: expected as many answer_start as text, found 0 and 1",
    wrong(answers=["b"]): "f.json:1: expected a JSON object with answer_start, found '\"b\"'",
    wrong(answers=[{"text": "b"}]): "f.json:1: expected answer_start, found text",
    wrong(answers=[{"text": "b", "answer_start": "0"}]): "expected answer_start to be a whole number, found '\"0\"'",
    wrong(question=1): "f.json:1: expected question to be a string, found '1'",
    wrong(context="\ud800"): "f.json:1: expected context to be text, found half of a surrogate pair",
}


@pytest.mark.parametrize("content", MALFORMED)
def test_malformed(tmp_path, content):
    (tmp_path / "f.json").write_text(content)
    with pytest.raises(Mistake, match=re.escape(MALFORMED[content])) as caught:
        files.read(tmp_path / "f.json", TASK, files.ANY)
    assert "\n" not in str(caught.value)


def test_malformed_bytes(tmp_path):
    for name, content, message in (
        ("f.json", b'{"data": "\xff"}', "f.json: expected UTF-8, found byte 0xff at 10"),
        ("f.json.gz", b"plain", "f.json.gz: expected a file packed by gzip"),
        ("g.json.gz", gzip.compress(b"[]" * 1000)[:-9], "g.json.gz: expected a file packed by gzip"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Mistake, match=message):
            files.read(tmp_path / name, TASK, files.ANY)
    (tmp_path / "a.tsv").write_text("a\tb\tc\n")
    with pytest.raises(Mistake, match="expected SQuAD JSON, or JSON lines"):
        files.read(tmp_path / "a.tsv", TASK, files.ANY)


def test_unanswerable_questions_are_asked_beside_the_answer():
    rows = [
        {
            "id": str(i),
            "question": f"what is w{i % 5}",
            "context": f"w{i % 5} is v{i} here",
            "answers": [{"text": f"v{i}"}],
        }
        for i in range(400)
    ]
    for share, expected in ((0.25, 100), (1.0, 400)):
        mixed = squad.with_unanswerable(rows, share, 3)
        assert [row for row in mixed if row["answers"]] == rows
        added = [row for row in mixed if not row["answers"]]
        assert abs(len(added) - expected) < 40 and len({row["id"] for row in mixed}) == len(mixed)
        for row in added:
            index, context = int(row["id"].split("-")[0]), int(row["context"].split()[2][1:])
            assert 0 < abs(index - context) <= squad.NEAR and index % 5 == context % 5  # near, and about the same word
        assert squad.with_unanswerable(rows, share, 3) == mixed
    assert squad.with_unanswerable(rows, 0.5, 4) != squad.with_unanswerable(rows, 0.5, 3)
    same = [row | {"context": f"{row['context']} v0 v1 v2"} for row in rows[:3]]
    assert squad.with_unanswerable(same, 1.0, 0) == same  # every other context holds the answer


def test_scorer_follows_the_gold_answers():
    assert squad.scored_as([["a"], ["b", "c"]]) == "SQuAD 1.1"
    assert squad.scored_as([["a"], []]) == "SQuAD 2.0"
    assert squad.scored_as([["中"], ["b"], ["国 a"]]) == "CMRC 2018"
    assert squad.scored_as([["中"], [], [], ["国"]]) == "SQuAD 2.0, answers compared as in CMRC 2018"
    scores = squad.score([["中国人"], [], []], ["国人", "", "中"], [0.1, 0.9, 0.8])
    assert scores["HasAns_f1"] == pytest.approx(80) and scores["NoAns_exact"] == 50
    assert scores["best_f1_thresh"] == 0.1 and scores["best_f1"] == pytest.approx((80 + 200) / 3)


def test_a_file_of_answers_is_scored(tmp_path, capsys):
    (tmp_path / "gold.json").write_text(FORMS["squad.json"])
    for given, expected in (
        ({"x1": "中国", "7": ""}, 100),
        ({"x1": "中国", "7": "who"}, 50),
        ({"x1": "中国"}, 100),
        ({"7": "who"}, 0),
    ):
        (tmp_path / "answers.json").write_text(json.dumps(given))
        status, out, _ = cli(capsys, "evaluate", tmp_path / "answers.json", "--data", tmp_path / "gold.json")
        assert status == 0 and json.loads(out)["exact"] == expected
        assert json.loads(out)["missing"] == 2 - len(given)
    for content, message in (
        ("[]", "expected JSON of the form {id: answer}, found '[]'"),
        ('{"x1": 5}', "expected JSON of the form"),
        ("{", "expected JSON of the form"),
        ('{"y": "a"}', "expected answers by id, as of x1, found none to any of the 2 questions"),
    ):
        (tmp_path / "answers.json").write_text(content)
        status, out, err = cli(capsys, "evaluate", tmp_path / "answers.json", "--data", tmp_path / "gold.json")
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err


@pytest.mark.parametrize(
    "path, questions, contexts, unanswerable, elsewhere",
    [
        ("qa-en/squad/train-v1.1.json.gz", 87599, 18896, 0, 0),
        ("qa-en/squad/dev-v2.0.json.gz", 11873, 1204, 5945, 0),
        ("qa-zh/cmrc2018/cmrc2018_dev.json", 3219, 848, 0, 200),
        ("qa-zh/drcd/DRCD_dev.json", 3524, 1000, 0, 0),
    ],
)
@needs(DATA / "qa-en")
def test_real_files(path, questions, contexts, unanswerable, elsewhere):
    rows = files.read(DATA / path, TASK, files.ANY)
    places = [(row["context"], answer["answer_start"], answer["text"]) for row in rows for answer in row["answers"]]
    assert len(rows) == questions and sum(not row["answers"] for row in rows) == unanswerable
    assert abs(len({row["context"] for row in rows}) - contexts) < 10  # a few stand twice
    assert sum(context[start : start + len(text)] != text for context, start, text in places) == elsewhere

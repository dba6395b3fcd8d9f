"""Reports as people read them: columns stand below each other, Chinese too; what is large is cut, and says so."""

import json

import numpy as np
import pytest

from tests.trainer.reports.cases import GOLD, NAMES, PREDICTED, labelled
from trainer.reports import columns, groups, report, table


@pytest.mark.parametrize(
    ("text", "columns_of_text"), [("abc", 3), ("中国，", 6), ("cafe\u0301", 4), ("👍", 2), ("", 0), ("a\u200bb", 2)]
)
def test_width(text, columns_of_text):
    assert columns.width(text) == columns_of_text


def test_shortened():
    assert columns.shortened("positive", 8) == "positive" and columns.shortened("positive", 7) == "positi…"
    assert columns.shortened("中国人民", 8) == "中国人民" and columns.shortened("中国人民", 7) == "中国人…"
    assert columns.shortened("a\n b", 9) == "a b"


def test_chinese_stands_in_columns():
    names = {"a": "好评", "b": "差", "c": "中性评价", "d": "无", "e": "x"}
    outcomes = labelled(*[[names[label] for label in labels] for labels in (GOLD, PREDICTED)], [*names.values()])
    blocks = table.report(report.report(outcomes)).split("\n\n")
    assert [block.split()[0] for block in blocks] == ["score", "class", "gold", "characters"]
    _, by_class, matrix, _ = blocks
    assert matrix.splitlines() == [
        "gold \\ predicted  好评  差  中性评价  无  x",
        "好评                14   4         1   0  2",
        "差                   0  10         1   0  3",
        "中性评价             1   0         1   0  1",
        "无                   2   0         0   0  0",
        "x                    0   0         0   0  0",
    ]
    assert by_class.splitlines()[1] == "好评           0.8235  0.6667  0.7368       21         17"
    assert {columns.width(line) for line in by_class.splitlines()[:6]} == {columns.width(by_class.splitlines()[0])}


def test_a_matrix_that_is_too_wide_is_a_list():
    content = report.report(labelled())
    wide = table.report(content, width=20)
    assert "gold \\ predicted" not in wide
    assert "gold  predicted  count  of gold\na     b              4    19.0%\nb     e              3    21.4%\n" in wide
    names = [f"c{i}" for i in range(50)]
    many = table.report(report.report(labelled(names * 2, [*names, *names[1:], names[0]], names)))
    assert "(40 of 50, those with the lowest f1)" in many and "(and 40 more, of 50 pairs in all)" in many


def test_lengths_in_few_buckets():
    """Of 40 lengths 1 ... 40: a quarter each, the longest twentieth apart; of equal lengths one bucket."""
    buckets = report.report(labelled())["lengths"]["characters"]
    assert [(b["from"], b["to"], b["examples"]) for b in buckets] == [
        (1, 10, 10), (11, 20, 10), (21, 30, 10), (31, 38, 8), (39, 40, 2),
    ]  # fmt: skip
    right = [a == b for a, b in zip(GOLD, PREDICTED, strict=True)]
    assert [b["accuracy"] for b in buckets[:2]] == [np.mean(right[:10]), np.mean(right[10:20])]
    same = groups.by_length(labelled(), np.full(40, 7))
    assert [(b["from"], b["to"], b["examples"]) for b in same] == [(7, 7, 40)]


def test_rare_groups_stand_together():
    outcomes = labelled(GOLD * 2, PREDICTED * 2)
    of_groups = groups.by_group(outcomes, [*(f"w{i // 6}" for i in range(74)), *(["rare"] * 4), "rarer", "w1"])
    assert [group["group"] for group in of_groups] == ["w1", *(f"w{i}" for i in (0, *range(2, 10))), "(others)"]
    assert sum(group["examples"] for group in of_groups) == 80 and of_groups[0]["examples"] == 7
    of_groups = groups.by_group(outcomes, ["yes"] * 78 + ["no"] * 2)
    assert [(group["group"], group["examples"]) for group in of_groups] == [("yes", 78), ("no", 2)]


def test_errors_are_the_surest_first_and_the_report_is_json():
    outcomes = labelled()
    places = [row["place"] for row in outcomes.errors()]
    wrong = [i for i, pair in enumerate(zip(GOLD, PREDICTED, strict=True)) if pair[0] != pair[1]]
    assert places == sorted(wrong, key=lambda i: (-(i % 3), i)) and len(places) == 15
    content = report.report(outcomes)
    assert json.loads(json.dumps(content)) == content and [*content["classes"]] == NAMES


def test_two_runs_side_by_side():
    first, second = labelled(), labelled(GOLD, GOLD)
    values = [report.report(outcomes)["intervals"] for outcomes in (first, second)]
    lines = table.differences(
        ["one", "two"], values, report.differences(first, second), report.report(first)
    ).splitlines()
    assert lines[:2] == ["first     one", "second    two"]
    assert lines[4].startswith("accuracy  0.6250  1.0000     -0.3750  [-0.5") and lines[4].endswith("0.0%")

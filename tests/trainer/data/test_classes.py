"""The classes of training rows: refusals, warnings, and samples that keep their shares."""

from collections import Counter

import pytest

from trainer.data import classes
from trainer.errors import Mistake
from trainer.tasks.table import TASKS

TASK = TASKS["classification"]


def rows(labels):
    return [{"text": str(i), "label": label} for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    "labels, message",
    [
        ("aaaa", "a.txt: expected two or more different labels, found 'a' in all 4 rows; so it is"),
        (["3.8", "5.0", "3.8", "5"], "expected names of classes as labels, found numbers with fractions such as 3.8"),
        ("abcdefaa", "expected labels that several rows share, found 6 different ones in 8 rows"),
    ],
)
def test_no_classes(labels, message):
    with pytest.raises(Mistake, match=message):
        classes.check(rows(labels), TASK, "a.txt", remedy="; so it is")


def test_given_labels_are_right(capsys):
    classes.check(rows("abcdefaa"), TASK, "a.txt", labels=[*"abcdefg"])
    said = capsys.readouterr().err
    assert "seen once only, too little to learn from: b, c, d, e, f\n" in said and "without any row: g\n" in said
    with pytest.raises(Mistake, match="expected two or more different labels"):
        classes.check(rows("aa"), TASK, "a.txt", labels=["a", "b"])
    classes.check(rows("abab"), TASK, "a.txt")
    assert capsys.readouterr().err == ""


def test_describe():
    assert classes.describe(rows("abab"), TASK, ["a", "b"]) == "a 2 (50.0%), b 2 (50.0%)"
    assert classes.describe(rows("ab"), TASK, [f"{i}" for i in range(30)]).endswith(", and 10 more")


def test_a_sample_keeps_shares_and_order():
    all_rows = rows("a" * 700 + "b" * 200 + "c" * 100)
    drawn = classes.sample(all_rows, 50, target="label", seed=1)
    assert Counter(row["label"] for row in drawn) == {"a": 35, "b": 10, "c": 5}
    assert [int(row["text"]) for row in drawn] == sorted({int(row["text"]) for row in drawn})
    assert drawn == classes.sample(all_rows, 50, target="label", seed=1)
    assert drawn != classes.sample(all_rows, 50, target="label", seed=2)
    assert len(classes.sample(all_rows, 7, target="label", seed=1)) == 7
    assert classes.sample(all_rows, 1000, target="label", seed=1) == all_rows
    assert len(classes.sample(all_rows, 13, target="tags", seed=1)) == 13

"""CSV and TSV as people have them: each variant read right, or refused in one line."""

import csv
import datetime
import io
import sys

import numpy as np
import pytest

from tests.conftest import DATA, needs
from trainer.data import files
from trainer.data.layout import Layout
from trainer.errors import Mistake
from trainer.tasks.table import TASKS

GOOD, BAD = "a fine, fine film", '坏片; "bad"\nand long'
ROWS = [{"text": GOOD, "label": "positive"}, {"text": BAD, "label": "negative"}]
QUOTED = '"坏片; ""bad""\nand long"'
PLAIN = [{"text": "good film", "label": "1"}, {"text": "坏片", "label": "0"}]


def as_cells(separator, *, header="text{}label", end="\n", tail=""):
    first = f'"{GOOD}"' if separator == "," else GOOD
    lines = [header.format(separator), f"{first}{separator}positive", f"{QUOTED}{separator}negative"]
    return end.join(line + tail for line in lines) + end


# What it is -> (name of the file, its content, what the user says of it, rows or the one line)
VARIANTS = {
    "commas": ("a.csv", as_cells(","), {}, ROWS),
    "semicolons, as where a comma is decimal": ("a.csv", as_cells(";"), {}, ROWS),
    "tabs": ("a.csv", as_cells("\t"), {}, ROWS),
    "bars": ("a.csv", as_cells("|"), {}, ROWS),
    "a mark of UTF-8 and the line ends of Windows": ("a.csv", "\ufeff" + as_cells(",", end="\r\n"), {}, ROWS),
    "UTF-16, as Excel's Unicode text": ("a.txt", as_cells("\t", end="\r\n").encode("utf-16"), {}, ROWS),
    "UTF-16, the other way round": ("a.csv", b"\xfe\xff" + as_cells(",").encode("utf-16-be"), {}, ROWS),
    "GB18030": ("a.csv", as_cells(",").encode("gb18030"), {"encoding": "gb18030"}, ROWS),
    "UTF-8 where another was said": ("a.csv", as_cells(","), {"encoding": "gb18030"}, ROWS),
    "GB18030, not said": (
        "a.csv", "text,label\n坏,0\n".encode("gb18030"), {},
        "a.csv:2: expected UTF-8, found byte 0xbb at 0; --encoding NAME reads another, such as gb18030 or latin-1",
    ),
    "not what was said": (
        "a.csv", b"text,label\n\xff\xff,0\n", {"encoding": "gb18030"}, "a.csv: expected GB18030, found byte 0xff at 11"
    ),
    "UTF-16 cut short": ("a.csv", "text".encode("utf-16")[:-1], {}, "a.csv: expected UTF-16, found byte 0x74 at 8"),
    "UTF-16 without a mark": (
        "a.csv",
        as_cells(",").encode("utf-16-le"),
        {},
        "a.csv: expected UTF-8, found what looks like UTF-16 without a mark; --encoding utf-16-le or utf-16-be reads it",
    ),
    "UTF-16 without a mark, said": ("a.csv", as_cells(",").encode("utf-16-be"), {"encoding": "utf-16-be"}, ROWS),
    "sep=, as Excel writes it": ("a.csv", "\ufeffsep=;\r\n" + as_cells(";", end="\r\n"), {}, ROWS),
    "names in quotes": ("a.csv", as_cells(",", header='"text"{}"label"'), {}, ROWS),
    "names in quotes, tabs": ("a.tsv", as_cells("\t", header='"text"{}"label"'), {}, ROWS),
    "names in capitals, with spaces": ("a.csv", as_cells(",", header=" Text {} LABEL"), {}, ROWS),
    "empty columns and rows at the end": ("a.csv", as_cells(",", tail=",,", end="\r\n") + ",,,\r\n,,,\r\n\r\n", {}, ROWS),
    "empty columns that some rows lack": ("a.csv", "text,label,,\ngood film,1\n坏片,0,\n", {}, PLAIN),
    "something in a column without a name": ("a.csv", "text,label,,\ngood film,1,,x\n坏片,0,,\n", {}, PLAIN),
    "names that people use": ("a.csv", as_cells(",", header="Review Text{}Sentiment"), {}, ROWS),
    "names in Chinese": ("a.csv", as_cells(",", header="评论{}标签"), {}, ROWS),
    "no ending that says it": ("a.txt", as_cells(",", header="review{}sentiment"), {}, ROWS),
    "names that the user says": (
        "a.csv", as_cells(",", header="v1{}v2"), {"named": {"text": "v1", "label": "V2"}}, ROWS
    ),
    "a number and a name": (
        "a.csv", "id,what,grade\n7,good film,1\n8,坏片,0\n", {"named": {"text": "2", "label": "grade"}}, PLAIN
    ),
    "without names": ("a.csv", "1,good film\n0,坏片\n", {"named": {"text": "2", "label": "1"}}, PLAIN),
    "without names, tabs": ("a.tsv", "1\tgood film\n0\t坏片\n", {"named": {"text": "2", "label": "1"}}, PLAIN),
    "with names, and numbers all the same": (
        "a.csv", "label,note\n1,good film\n0,坏片\n", {"named": {"text": "2", "label": "1"}}, PLAIN
    ),
    "a separator that is said": ("a.txt", "text~label\ngood film~1\n坏片~0\n", {"separator": "~"}, PLAIN),
    "a name that is not there": (
        "a.csv", "text,label\na,0\n", {"named": {"text": "review"}},
        "a.csv:1: expected columns named review, label, found 'text', 'label'; --text_column can name another, or "
        "give its number",
    ),
    "a number that is too high": (
        "a.csv", "text,label\na,0\n", {"named": {"text": "3"}},
        "a.csv:1: expected 3 columns or more (--text_column 3), found 2",
    ),
    "two columns that could be meant": (
        "a.csv", "review,comment,label\na,b,0\n", {},
        "a.csv:1: expected one column for text, found review and comment; --text_column names it",
    ),
    "two labels that could be meant": (
        "a.csv", "text,sentiment,rating\na,b,0\n", {},
        "a.csv:1: expected one column for label, found sentiment and rating; --label_column names it",
    ),
    "two columns of one name": (
        "a.csv", "text,text,label\na,b,0\n", {}, "a.csv:1: expected one column text, found 2; --text_column 1 or 2 says which"
    ),
    "names that nobody knows": (
        "a.csv", "v1,v2,,\n0,a,,\n", {},
        "a.csv:1: expected columns named text, label, found 'v1', 'v2', 'column_3', 'column_4'; --text_column and --label_column "
        "can name another, or give its number",
    ),
    "a row too long": (
        "a.csv", 'text,label\n"a\nb",0\nc,d,1\n', {}, "a.csv:4: expected 2 columns (text, label), found 3"
    ),
    "a row too short": ("a.csv", "text,label\n\"a\nb\"\n", {}, "a.csv:2: expected 2 columns (text, label), found 1"),
    "a quote that is never closed": (
        "a.csv", 'text,label\na,0\n"b,1\nc,0\n', {},
        "a.csv:3: expected the quote that a cell of this row begins with to be closed, found the end of the file",
    ),
    "a quote within quotes that is not doubled": (
        "a.csv", 'text,label\n"a "fine" film",0\n', {},
        "a.csv:2: expected a comma or a line's end after the quote that closes a cell, found more text; a quote in it is "
        "written twice",
    ),
    "a quote within a cell that has none": (
        "a.csv", 'text,label\ngood film,1\n5" wide,0\n', {}, [PLAIN[0], {"text": '5" wide', "label": "0"}]
    ),
    "an empty row amid others": ("a.csv", "text,label\na,0\n,\nb,1\n", {}, "a.csv:3: expected a row, found an empty line"),
    "a name alone": ("a.csv", "text,label\n", {}, "a.csv: expected rows of text, label, found none"),
    "nothing": ("a.csv", "", {}, "a.csv: expected rows of text, label, found none"),
    "a very long cell": (
        "a.csv", f"text,label\n{'x' * 200_000},1\n坏片,0\n", {}, [{"text": "x" * 200_000, "label": "1"}, PLAIN[1]]
    ),
    "NUL": ("a.csv", "text,label\ngood\0film,1\n坏片,0\n", {}, [{"text": "good\0film", "label": "1"}, PLAIN[1]]),
    "separators that cannot be told": (
        "a.csv", "a;b,c;d\n1;2,3;4\n", {"named": {"text": "1", "label": "2"}},
        "a.csv:1: expected cells of which it is certain whether commas or semicolons separate them, found 'a;b,c;d'; "
        "--separator says it",
    ),
    "GLUE's quotes, which are text": (
        "a.tsv", 'sentence\tlabel\n"a fine film\t1\n"b" and "c"\t0\n', {},
        [{"text": '"a fine film', "label": "1"}, {"text": '"b" and "c"', "label": "0"}],
    ),
    "GLUE's quotes around a whole text": (
        "a.tsv", 'sentence\tlabel\n"a fine film"\t1\n', {}, [{"text": '"a fine film"', "label": "1"}]
    ),
    "a spreadsheet's quotes, tabs": ("a.tsv", as_cells("\t"), {}, ROWS),
    "a spreadsheet's quotes, tabs, no line break": (
        "a.tsv", 'text\tlabel\n"a ""fine"" film"\t1\n', {}, [{"text": 'a "fine" film', "label": "1"}]
    ),
    "quotes that cannot be told": (
        "a.tsv", 'text\tlabel\n"a ""fine"" film"\t1\n"b"\t0\n', {},
        "a.tsv: expected quotes of which it is certain whether they stand around cells, as in CSV, or are text, as in GLUE's "
        "files, found some that may be either; --quotes cells or --quotes text says it",
    ),
    "a quote in one line and one in a later, tabs": (
        "a.tsv",
        'text\tlabel\n"a film\t1\nit said "\t0\n',
        {},
        "a.tsv: expected quotes of which it is certain whether they stand around cells, as in CSV, or are text, as in GLUE's "
        "files, found some that may be either; --quotes cells or --quotes text says it",
    ),
    "quotes that are said to be text": (
        "a.tsv", 'text\tlabel\n"a ""fine"" film"\t1\n"b"\t0\n', {"quotes": "text"},
        [{"text": '"a ""fine"" film"', "label": "1"}, {"text": '"b"', "label": "0"}],
    ),
    "quotes that are said to be around cells": (
        "a.tsv", 'text\tlabel\n"a ""fine"" film"\t1\n"b"\t0\n', {"quotes": "cells"},
        [{"text": 'a "fine" film', "label": "1"}, {"text": "b", "label": "0"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", VARIANTS)
def test_variants(tmp_path, monkeypatch, case):
    name, content, said, expected = VARIANTS[case]
    (tmp_path / name).write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    monkeypatch.chdir(tmp_path)
    read = lambda: files.read(name, TASKS["classification"], files.ANY, layout=Layout(**said))
    if isinstance(expected, list):
        assert read() == expected
    else:
        with pytest.raises(Mistake) as caught:
            read()
        assert str(caught.value) == expected


ALPHABET = ["a", "b c", ",", ";", "|", "'", '"', '""', "\n", "\r\n", "\r", "\t", " ", "坏", "=", "é"]


def test_what_a_writer_of_csv_writes_is_read(tmp_path):
    random = np.random.default_rng(0)
    text = lambda: "".join(random.choice(ALPHABET, random.integers(1, 7)))
    for _ in range(300):
        rows = [{"text": text(), "label": str(random.choice(["x", "y"]))} for _ in range(random.integers(1, 6))]
        content = io.StringIO(newline="")
        form = {
            "delimiter": ",;|\t"[random.integers(4)],
            "quoting": [csv.QUOTE_MINIMAL, csv.QUOTE_ALL][random.integers(2)],
        }
        csv.writer(content, **form).writerows([["text", "label"], *[row.values() for row in rows]])
        encoding = ["utf-8", "utf-8-sig", "utf-16"][random.integers(3)]
        (tmp_path / "a.csv").write_bytes(content.getvalue().encode(encoding))
        assert files.read(tmp_path / "a.csv", TASKS["classification"], files.ANY) == rows


@pytest.mark.parametrize(
    "path, count, positive",
    [("ChnSentiCorp_htl_all/ChnSentiCorp_htl_all.csv", 7766, 5322), ("waimai_10k/waimai_10k.csv", 11987, 4000)],
)
@needs(DATA / "sentiment-zh" / "waimai_10k")
def test_real_files(path, count, positive):
    rows = files.read(DATA / "sentiment-zh" / path, TASKS["sentiment"], ["negative", "positive"])
    assert (len(rows), sum(row["label"] == "positive" for row in rows)) == (count, positive)


def test_parquet(tmp_path, capsys, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"id": [7, 8], "review": [GOOD, BAD], "label": [1, 0], "at": [datetime.date(2026, 1, 2), None]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet", row_group_size=1)
    read = lambda **options: files.given(
        tmp_path / "a.parquet", TASKS["sentiment"], ["negative", "positive"], **options
    )
    given = read()
    assert given.rows == ROWS and given.columns[0].values == {"id": 7, "review": GOOD, "label": 1, "at": "2026-01-02"}
    assert capsys.readouterr().err == f"columns   {tmp_path / 'a.parquet'}: text: review; label: label\n"
    assert read(layout=Layout(named={"text": "Review"})).rows == ROWS
    with pytest.raises(Mistake, match="expected columns body, label, found id, review, label, at"):
        read(layout=Layout(named={"text": "body"}))
    words = {"tokens": [["a", "film"], ["good"]], "tags": [["DET", "NOUN"], ["ADJ"]]}
    parquet.write_table(pyarrow.table(words), tmp_path / "words.parquet")
    rows = files.read(tmp_path / "words.parquet", TASKS["tagging"], files.ANY)
    assert [row["words"] for row in rows] == words["tokens"] and [row["tags"] for row in rows] == words["tags"]
    (tmp_path / "a.parquet").write_bytes(b"text,label\n")
    with pytest.raises(Mistake, match=r"a.parquet: expected Parquet, found another form or a damaged file"):
        read()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        Mistake, match=r"a.parquet: expected pyarrow to read Parquet \(pip install pyarrow\), found none"
    ):
        read()


def test_flags_name_keys_of_json(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1, "body": "good film", "stars": 1}\n', encoding="utf-8")
    layout = Layout(named={"text": "body", "label": "Stars"})
    given = files.given(tmp_path / "a.jsonl", TASKS["sentiment"], ["negative", "positive"], layout=layout)
    assert given.rows == [{"text": "good film", "label": "positive"}] and given.columns[0].values["id"] == 1
    with pytest.raises(Mistake, match=r"a.jsonl:1: expected the fields text, label, found id, body, stars"):
        files.read(tmp_path / "a.jsonl", TASKS["sentiment"], files.ANY)
    (tmp_path / "a.jsonl").write_text('{"id": 1, "q": "a", "context": "b", "answers": []}\n')
    given = files.given(tmp_path / "a.jsonl", TASKS["qa"], files.ANY, layout=Layout(named={"question": "q"}))
    assert given.rows == [{"id": "1", "question": "a", "context": "b", "answers": []}]


@pytest.mark.parametrize(
    "content, rows",
    [
        ('id,review\n1,"good, film"\n', [{"text": "good, film"}]),
        ("a comment, a text\ngood, film\n", [{"text": "a comment, a text"}, {"text": "good, film"}]),
        ("text\nbad, film\n", [{"text": "bad, film"}]),
        ("sep=;\nid;body\n1;good\n", [{"text": "good"}]),
    ],
)
def test_standard_input_is_a_table_where_it_looks_like_one(monkeypatch, content, rows):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert files.read("-", TASKS["sentiment"]) == rows


def test_training_holds_no_more_than_it_needs(tmp_path):
    (tmp_path / "a.csv").write_text("id,text,label,note\n1,good film,1,x\n")
    assert files.read(tmp_path / "a.csv", TASKS["sentiment"], files.ANY) == [{"text": "good film", "label": "1"}]

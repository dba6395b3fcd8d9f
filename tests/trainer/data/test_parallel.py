"""Parallel text: two files as one path, columns of a table, objects."""

import json

import pytest

from tests.conftest import DATA, needs
from trainer import paired
from trainer.data import datasets, files
from trainer.data.layout import Layout
from trainer.errors import Mistake
from trainer.runs.folder import fingerprint
from trainer.tasks.table import TASKS

TASK = TASKS["translation"]
ROWS = [{"source": "Guten Tag.", "target": "Good day."}, {"source": "Ja, ja.", "target": "Yes\tyes."}]


def write(folder, **texts):
    for name, text in texts.items():
        (folder / f"train.{name}").write_text(text, encoding="utf-8")
    return folder / f"train.{{{','.join(texts)}}}"


def test_names():
    for names in (("a/train.de", "a/train.en"), ("train.de.gz", "train.en.gz"), ("here/val.de", "there/val.en")):
        assert paired.names_of(paired.joined(*names)) == list(names)
    assert paired.names_of("train.tsv") == ["train.tsv"] and not paired.is_pair("a{b}c")


def test_all_forms_give_the_same_rows(tmp_path):
    path = write(tmp_path, de="Guten Tag.\nJa, ja.\n", en="Good day.\nYes\tyes.\n")
    assert files.read(path, TASK, files.ANY) == ROWS
    assert files.read(path, TASK) == [{"source": row["source"]} for row in ROWS]
    objects = tmp_path / "train.jsonl"
    objects.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    assert files.read(objects, TASK, files.ANY) == ROWS
    table = tmp_path / "train.csv"
    table.write_text('translation,source\nGood day.,Guten Tag.\nYes\tyes.,"Ja, ja."\n', encoding="utf-8")
    assert files.read(table, TASK, files.ANY) == ROWS
    tatoeba = tmp_path / "cmn.txt"
    tatoeba.write_text("\ufeffHi.\t嗨。\tCC-BY\nRun!\t跑！\tCC-BY\n", encoding="utf-8")
    columns = Layout({"source": "1", "target": "2"})
    rows = files.read(tatoeba, TASK, files.ANY, layout=columns)
    assert rows == [{"source": "Hi.", "target": "嗨。"}, {"source": "Run!", "target": "跑！"}]


def test_mistakes(tmp_path):
    for texts, message in (
        ({"de": "Ja.\nNein.\n", "en": "Yes.\n"}, r"as many lines in both files, found 2 in .*train.de and 1 in .*train.en"),
        ({"de": "Ja.\n\nNein.\n", "en": "Yes.\n.\nNo.\n"}, r"train.de:2: expected a row, found an empty line"),
    ):  # fmt: skip
        with pytest.raises(Mistake, match=message):
            files.read(write(tmp_path, **texts), TASK, files.ANY)
    with pytest.raises(Mistake, match=r"train.\{de,fr\}: no such file, .*train.fr"):
        datasets.path_of(str(tmp_path / "train.{de,fr}"), "train", "translation")
    write(tmp_path, de="Ja.\n")
    with pytest.raises(Mistake, match=r"train.de:1: expected columns named source, target .*found 'Ja.'"):
        files.read(tmp_path / "train.de", TASK, files.ANY)
    with pytest.raises(Mistake, match=r"expected a text as the target, found none"):
        (tmp_path / "empty.jsonl").write_text('{"source": "Ja.", "target": " "}\n')
        files.read(tmp_path / "empty.jsonl", TASK, files.ANY)


def test_a_run_depends_on_both_files(tmp_path):
    found = [
        fingerprint(write(tmp_path, de=de, en=en)) for de, en in (("Ja.", "Yes."), ("Ja.", "No."), ("Ne.", "Yes."))
    ]
    assert len({*found}) == 3


@needs(DATA / "translation")
def test_multi30k_by_name_in_either_direction(monkeypatch):
    monkeypatch.setenv("LINEAGE_DATA", str(DATA))
    german = files.read(datasets.path_of("multi30k", "dev", "translation"), TASK, files.ANY)
    english = files.read(datasets.path_of("multi30k:dev.{en,de}", "train", "translation"), TASK, files.ANY)
    assert len(german) == 1014 and german[0]["source"] == english[0]["target"] != german[0]["target"]
    assert datasets.title("multi30k", "dev") == "multi30k:dev.{de,en}"
    with pytest.raises(Mistake, match=r"expected one of its parts \(train.en, .*received test.\{de,en\}"):
        datasets.path_of("multi30k:test", "train")

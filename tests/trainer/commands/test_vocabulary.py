"""Vocabularies of text files, and runs that read with them."""

import json
import sys

import pytest

from tests.conftest import cli, write_examples
from trainer.text.vocabulary import SPECIAL, read_vocabulary

LINES = ["The film is good", "the film, the Film", "", "a bad film"]


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(LINES))
    return tmp_path / "text.txt"


def test_words_that_stand_there_twice(text, tmp_path, capsys):
    status, out, err = cli(capsys, "vocabulary", "--text", text, "--unit=words", f"--out={tmp_path}/vocab.txt")
    result = json.loads(out)
    assert status == 0 and read_vocabulary(tmp_path / "vocab.txt") == [*SPECIAL, "film", "the"]
    assert result.pop("seconds") >= 0 and result == {
        "vocabulary": f"{tmp_path}/vocab.txt", "unit": "words", "files": 1, "lines": 3, "words": 12, "different": 7,
        "min_count": 2, "entries": 7, "tokens": 12, "unknown": round(5 / 12, 6),
    }  # fmt: skip
    assert "made      7 words, of what stands there 2 times or more; of 12 words of the text 41.67% are unknown" in err


def test_a_file_that_is_there_is_kept(text, tmp_path, capsys):
    (tmp_path / "vocab.txt").write_text("mine")
    options = ["vocabulary", "--text", text, f"--out={tmp_path}/vocab.txt"]
    status, out, err = cli(capsys, *options)
    assert (status, out) == (2, "") and "vocab.txt: exists; --overwrite replaces it" in err
    status, _, err = cli(capsys, *options, "--overwrite", "--min_count=9", "--unit=words")
    assert status == 2 and "--min_count 9: expected words that stand in the text so often, found none" in err
    status, _, err = cli(capsys, *options, "--overwrite", "--character_min_count=9", "--unit=words")
    assert status == 2 and "--character_min_count: expected with --unit pieces, received with words" in err
    assert (tmp_path / "vocab.txt").read_text() == "mine" and len([*tmp_path.iterdir()]) == 2
    assert cli(capsys, *options, "--overwrite", "--size=30")[0] == 0
    assert len(read_vocabulary(tmp_path / "vocab.txt")) == 30
    status, _, err = cli(capsys, "vocabulary", "--text", text, f"--out={text}", "--overwrite")
    assert status == 2 and "which this command reads" in err and text.read_text() == "\n".join(LINES)


def test_chinese_words(tmp_path, capsys):
    pytest.importorskip("rjieba")
    (tmp_path / "text.txt").write_text("我来到北京清华大学\n北京很大，清华大学也大\n")
    out = tmp_path / "vocab.txt"
    options = ["--unit=words", "--segment", "--unknown=characters", f"--out={out}"]
    status, printed, err = cli(capsys, "vocabulary", "--text", tmp_path / "text.txt", *options)
    assert status == 0 and {"北京", "清华大学"} < {*read_vocabulary(out)} and "来到" not in read_vocabulary(out)
    result = json.loads(printed)
    assert result["words"] == 10 and 0 < result["agreement"]["f1"] <= 1 and "agreement longest match finds" in err
    train = write_examples(tmp_path / "train.txt", 8)
    options = ["--model=bag", f"--vocabulary={out}", "--unit=words", "--epochs=1", f"--out={tmp_path}/run"]
    assert cli(capsys, "finetune", "sentiment", f"--train={train}", *options)[0] == 0


def test_without_the_segmenter(text, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rjieba", None)
    options = ["--unit=words", "--segment", f"--out={tmp_path}/vocab.txt"]
    status, out, err = cli(capsys, "vocabulary", "--text", text, *options)
    assert (status, out) == (2, "") and "(pip install rjieba), found none" in err and len([*tmp_path.iterdir()]) == 1

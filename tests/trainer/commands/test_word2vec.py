"""word2vec from text files to vectors that another model begins with."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.conftest import cli, said_by, stopped_at
from trainer.pretraining.word_vectors import vectors_of
from trainer.text import vectors

# Two topics, whose words stand beside one another only
TOPICS = ["king queen crown throne 国王 王后", "dog cat bone milk 小狗 小猫"]


def write_text(path, sentences=1500):
    draw = np.random.default_rng(0)
    topics = [topic.split() for topic in TOPICS]
    lines = [" ".join(draw.choice(topics[i % 2], draw.integers(4, 9))) + "." for i in range(sentences)]
    path.write_text("\n\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("word2vec") / "text.txt")


@pytest.fixture(autouse=True)
def cache(text, monkeypatch):
    monkeypatch.setenv("LINEAGE_CACHE", str(text.parent / "cache"))


def command(text, out, *flags):
    options = ("--text", text, "--out", out, "--width=8", "--epochs=6", "--sample=0", "--learning_rate=0.05")
    return ("pretrain", "word2vec", *options, *flags)


def pretrain(capsys, text, out, *flags):
    return cli(capsys, *command(text, out, *flags))


@pytest.fixture(scope="module")
def plain(text):
    """A run of the options above alone: (its folder, exit status, standard output, standard error)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINEAGE_CACHE", str(text.parent / "cache"))
        return text.parent / "plain", *said_by(*command(text, text.parent / "plain"))


@pytest.mark.parametrize("flags", [(), ("--cbow",)])
def test_words_of_a_topic_are_neighbours(text, plain, flags, capsys, tmp_path):
    run, status, out, err = (tmp_path / "run", *pretrain(capsys, text, tmp_path / "run", *flags)) if flags else plain
    assert status == 0, err
    assert json.loads(out)["model"] == "word2vec" and ("CBOW" in err) == bool(flags) and "of which the most" not in err
    found = vectors_of(run)
    for topic in TOPICS:
        words = [word for word in topic.split() if word.isascii()]
        for word in words:
            assert {*words} - {word} <= {other for other, _ in found.neighbours(word, 7)}, found.neighbours(word, 7)


def test_words_that_a_vocabulary_has_no_room_for_are_counted(text, capsys, tmp_path):
    status, _, err = pretrain(capsys, text, tmp_path / "run", "--vocabulary_size=9", "--dry_run")
    assert status == 0, err
    assert "stand there 5 times or more, of which the most frequent 4 are taken (--vocabulary_size 9)" in err


def test_a_run_answers_is_scored_and_begins_another(plain, capsys, tmp_path):
    run, status, _, err = plain
    assert status == 0, err
    status, out, err = cli(capsys, "predict", run, "--text", "King", "dog")
    answers = [json.loads(line) for line in out.splitlines()]
    assert (
        status == 0
        and [answer["text"] for answer in answers] == ["King", "dog"]
        and len(answers[0]["neighbours"]) == 10
    )
    (tmp_path / "pairs.txt").write_text(
        "king\tqueen\t9\ndog\tcat\t8\nking\tbone\t1\nmilk\tthrone\t2\nking\tabsent\t5\n"
    )
    status, out, err = cli(capsys, "evaluate", run, "--data", tmp_path / "pairs.txt")
    assert status == 0 and json.loads(out)["covered"] == 4 and json.loads(out)["spearman"] > 0.7, err
    status, out, err = cli(capsys, "vectors", run, "--to", tmp_path / "words.bin")
    assert status == 0, err
    table = dict(vectors.read(tmp_path / "words.bin"))
    assert len(table) == json.loads(out)["words"]

    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "king queen\ta\ndog unheard\tb\n" * 16, encoding="utf-8")
    options = ("--model=bag", "--unit=words", "--train", tmp_path / "train.tsv", "--epochs=1", "--batch_size=8")
    for source in (tmp_path / "words.bin", run):
        status, out, err = cli(
            *(capsys, "finetune", "classification", *options, "--settings", "embedding_width=8"),
            *("--freeze=embeddings", "--embeddings", source, "--out", tmp_path / f"bag-{source.name}"),
        )
        assert status == 0, err
        assert f"vectors   {source}: of 3 of 9 words of the vocabulary" in err
        kept = load_file(tmp_path / f"bag-{source.name}" / "model.safetensors")["token_embedding/embeddings"]
        vocabulary = (tmp_path / f"bag-{source.name}" / "vocab.txt").read_text().split()
        np.testing.assert_allclose(kept[vocabulary.index("king")], table["king"], atol=1e-6)
    for flags, words in (
        (
            ("--embeddings", run),
            "expected vectors of the model's width, 300, found 8 numbers; --settings embedding_width=8",
        ),
        (("--embeddings", tmp_path / "none.txt"), "none.txt: no such file"),
    ):
        status, _, err = cli(capsys, "finetune", "classification", *options, *flags, "--out", tmp_path / "no")
        assert status == 2 and words in err, err


def test_a_stopped_run_ends_as_one_that_was_not(text, plain, capsys, tmp_path):
    with stopped_at(5):
        assert pretrain(capsys, text, tmp_path / "stopped")[0] == 143
    status, out, err = pretrain(capsys, text, tmp_path / "stopped")
    assert status == 0 and "resume    from step 5" in err, err
    assert json.loads(out)["digest"] == json.loads(plain[2])["digest"]


@pytest.mark.parametrize(
    "flags, words",
    [
        (("--steps=5",), "--steps: expected with bert, lm or elmo, received with word2vec"),
        (("--model=tiny",), "--model: expected with bert, lm or elmo, received with word2vec"),
        (
            ("--vocabulary_min_count=100000",),
            "--vocabulary_min_count 100000: expected words that stand in the text so often",
        ),
        (("--window=0",), "--window: expected more than 0, received 0"),
    ],
)
def test_mistakes(flags, words, text, capsys, tmp_path):
    status, out, err = pretrain(capsys, text, tmp_path / "run", *flags)
    assert status == 2 and not out and words in err.splitlines()[-1], err


def test_files_that_are_no_vectors(capsys, tmp_path):
    for name, content, words in (
        ("a.txt", b"the 1 2\nof 1\n", "a.txt:2: expected a word and 2 numbers"),
        ("b.txt", b"the one\n", "b.txt:1: expected a word and its numbers"),
        ("c.bin", b"2 2\na 12345678\n", "expected 2 words with 2 numbers, found the end behind 1"),
        ("d.bin", b"a b c\n", "d.bin:1: expected how many words"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Exception, match=words):
            [*vectors.read(tmp_path / name)]

"""Tagging: labels of tokens, windows, positions; training, scoring and files, from a treebank written here."""

import json
import random

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ALPHABET, DATA, VOCABULARY, cli, needs, write_treebank
from trainer.data import conll, files
from trainer.runs.run import Run
from trainer.tasks import tag
from trainer.tasks.setup import Setup
from trainer.tasks.table import TASKS
from trainer.tasks.tag import segmentation, units
from trainer.text.reader import Reader
from trainer.text.vocabulary import read_vocabulary
from trainer.text.word_pieces import WordPieces
from trainer.training import batches
from trainer.training.step import per_example

TASK = TASKS["tagging"]
TOKENIZER = WordPieces(VOCABULARY, lower_case=True)
LABELS = ["A", "B", "_", "A B@-1", "_ A@-2", "B A@-3 A@-1"]


def setup(labels, max_length, tokenizer=TOKENIZER):
    return Setup(TASK, Reader(tokenizer, max_length), ("words",), labels)


def local(classes):
    """A model whose logits depend on the piece alone, so that neither context nor windows change an answer."""
    table = tf.random.stateless_normal([50000, classes], [1, 2])
    return lambda inputs, training: tf.gather(table, inputs["token_ids"])


def oracle(answers):
    """A model that knows the label of every piece of the texts: {pieces: labels}."""

    def logits(ids, mask):
        scores = np.zeros([*ids.shape, 1 + max(max(labels) for labels in answers.values())], np.float32)
        for row, real, out in zip(ids, mask, scores, strict=True):
            labels = answers[tuple(row[real][1:-1].tolist())]
            out[np.arange(len(labels)) + 1, labels] = 1
        return scores

    return lambda inputs, training: tf.numpy_function(logits, [inputs["token_ids"], inputs["mask"]], tf.float32)


@pytest.mark.parametrize(
    "parts, label",
    [
        ([(0, "NOUN")], "NOUN"),
        ([], "_"),
        ([(0, "AUX"), (-1, "PART")], "AUX PART@-1"),
        ([(-2, "NOUN")], "_ NOUN@-2"),
        ([(0, "NFP@"), (-12, "-LRB-"), (-1, ",")], "NFP@ -LRB-@-12 ,@-1"),
    ],
)
def test_labels_and_their_parts(parts, label):
    assert segmentation.label_of(parts) == label and segmentation.words_of(label) == parts


def test_labels_of_tokens():
    row = conll.row_of(
        ["do", "n't", "go", "U.S.", "\u200b"], ["AUX", "PART", "VERB", "PROPN", "X"], "don't go U.S. \u200b"
    )
    starts, ends = [0, 3, 4, 6, 9, 10, 11, 12], [3, 4, 5, 8, 10, 11, 12, 13]
    labels = segmentation.labels_of_tokens(starts, ends, row)
    assert labels == ["AUX PART@-1", "_", "_", "VERB", "PROPN", "_", "_", "_"]


def test_inventory():
    labels = ["A", "A B@-1", "A B@-1", "_ B@-2"]
    assert segmentation.inventory(labels, {"B", "A"}, "f") == ["A", "B", "_", "A B@-1"]
    assert segmentation.known("A B@-3", ["A"]) == "A" and segmentation.known("_ B@-2", ["A"]) == "_"
    assert segmentation.known("ADP+PRON", ["ADP"]) == "ADP" and segmentation.known("X+Y", ["_"]) == "_"
    for tags in ({"A"}, {"A", "_"}):
        with pytest.raises(Exception, match="f: expected two or more tags, none of them '_', found"):
            segmentation.inventory([], tags, "f")


@pytest.mark.parametrize(
    "path, vocabulary, exact",
    [
        ("tagging-en/UD_English-EWT/en_ewt-ud-dev.conllu", "bert-base-uncased", 0.999),
        ("tagging-zh/UD_Chinese-simplified-hankcs/dev.conll", "bert-base-chinese", 0.99),
    ],
)
@needs(DATA / "tagging-en")
def test_gold_labels_give_the_gold_words(path, vocabulary, exact):
    """The labels express all words but rare ones, and those beyond the tokenizer: with dropped characters or spaces."""
    tokenizer = WordPieces(read_vocabulary(DATA / "vocab" / vocabulary / "vocab.txt"), lower_case=True)
    rows = files.read(DATA / path, TASK, files.ANY)
    tokens = list(units.tokens(Reader(tokenizer, 512), [row["text"] for row in rows]))
    of_rows = [segmentation.labels_of_tokens(a, b, row) for row, (_, _, a, b) in zip(rows, tokens, strict=True)]
    labels = sorted({label for row in of_rows for label in row})
    answers = {}
    for (ids, first, _, _), row_labels in zip(tokens, of_rows, strict=True):
        answers[tuple(ids.tolist())] = np.array([labels.index(row_labels[i]) for i in np.cumsum(first) - 1])
    function = tag.functions(oracle(answers), setup(labels, 512, tokenizer))["serving_default"]
    correct = number = 0
    for i in range(0, len(rows), 100):
        batch = rows[i : i + 100]
        outputs = {name: value.numpy() for name, value in function(tf.constant([row["text"] for row in batch])).items()}
        for k, row in enumerate(batch):
            spans = {tuple(span): tag for span, tag in zip(row["spans"], row["tags"], strict=True)}
            columns = zip(*(outputs[name][k] for name in ("starts", "ends", "tags")), strict=True)
            correct += sum(spans.get((a, b)) == name.decode() for a, b, name in columns)
        number += sum(len(row["words"]) for row in batch)
    assert exact <= correct / number <= 1


@pytest.mark.parametrize("max_length", [4, 16, 512])
@pytest.mark.parametrize("lower_case", [True, False])
def test_positions_slice_the_original_text(max_length, lower_case):
    draw = random.Random(max_length)
    texts = ["".join(draw.choices(ALPHABET, k=draw.randint(0, 60))) for _ in range(300)]
    tokenizer = WordPieces(VOCABULARY, lower_case=lower_case)
    function = tag.functions(local(len(LABELS)), setup(LABELS, max_length, tokenizer))["serving_default"]
    outputs = {name: value.numpy() for name, value in function(tf.constant(texts)).items()}
    seen = 0
    for i, text in enumerate(texts):
        count = int(np.sum(outputs["starts"][i] >= 0))
        until = 0
        for k in range(count):
            start, end = outputs["starts"][i][k], outputs["ends"][i][k]
            assert until <= start < end <= len(text)
            assert text[start:end] == outputs["words"][i][k].decode("utf-8")
            assert text[start:end].strip() and not set(text[start:end]) & set(" \t\n\r\u00a0\u3000\u2028")
            until = end
        seen += count
        for name, empty in (("starts", -1), ("ends", -1), ("scores", -1), ("words", b""), ("tags", b"")):
            assert all(value == empty for value in outputs[name][i][count:])
            assert not any(value == empty for value in outputs[name][i][:count])
    assert seen > 3000


def test_windows_change_nothing_but_what_is_seen_around():
    texts = ["a good film 中国 unable café " * n for n in (1, 9, 30)] + [""]
    words = tf.constant([["a", "unable", "film"] * 20, ["b"] * 60])
    whole, cut = (tag.functions(local(len(LABELS)), setup(LABELS, length)) for length in (512, 12))
    for expected, actual in (
        (whole["serving_default"](tf.constant(texts)), cut["serving_default"](tf.constant(texts))),
        (whole["words"](words), cut["words"](words)),
    ):
        for name in expected:
            np.testing.assert_array_equal(expected[name], actual[name])


def test_no_rows_and_no_words():
    functions = tag.functions(local(len(LABELS)), setup(LABELS, 16))
    for texts in (tf.constant([], tf.string), tf.constant(["", " \t"])):
        outputs = functions["serving_default"](texts)
        assert {tuple(value.shape) for value in outputs.values()} == {(len(texts), 0)}
    outputs = functions["words"](tf.constant([["\u200b", "a"], ["", ""]]))  # nothing is left of the first: unknown
    assert np.sum(outputs["tags"].numpy() != b"") == 2 and outputs["scores"].numpy()[1].tolist() == [-1, -1]
    assert functions["words"](tf.zeros([2, 0], tf.string))["tags"].shape == (2, 0)


def test_training_asks_the_first_piece_of_every_word_once(tmp_path):
    rows = files.read(write_treebank(tmp_path / "a.conllu", 50), TASK, files.ANY)
    for max_length in (8, 64):
        learned, examples = tag.examples(rows, setup([], max_length), "a.conllu")
        labels = learned.labels
        assert {"DET NOUN@-1", "_"} <= set(labels)
        assert len(examples.forms) == 50 and examples.lengths.max() <= max_length
        of_windows = [examples.targets[i].numpy() for i in range(len(examples.lengths))]
        for row, forms in zip(rows, examples.forms, strict=True):
            of_row = [labels[i] for window in forms[0] for i in of_windows[window] if i >= 0]
            begun = [label for label in of_row if label != "_"]
            split = "DET NOUN@-1" in of_row
            assert (
                begun[-len(row["tags"]) :] == row["tags"]
            )  # of the words, which come last where they are cut otherwise
            assert len(begun) == len(row["tags"]) * (1 + split) - split * of_row.count("DET NOUN@-1")
            wide = "人" in row["text"] or "好" in row["text"] or "中" in row["text"]
            assert len(forms) == 1 or wide
    _, targets = next(iter(batches.dataset(examples, [np.array([0, 1])])))
    logits = tf.one_hot(tf.maximum(targets, 0), len(labels)) * 1e4
    total, count = tag.loss(targets, logits)
    assert float(total) == 0 and float(count) == np.sum(targets.numpy() >= 0)


def test_a_label_counts_as_much_in_a_short_row_as_in_a_long_one(tmp_path):
    rows = files.read(write_treebank(tmp_path / "a.conllu", 64), TASK, files.ANY)
    learned, examples = tag.examples(rows, setup([], 64))
    loss, shares = per_example(tag.loss, examples.asked), []
    for _, targets in batches.dataset(examples, [np.array([i]) for i in range(examples.number)]):
        total, count = loss(targets, tf.zeros([*targets.shape, len(learned.labels)]))
        shares.append(float(total / count) / np.sum(targets.numpy() >= 0))
    np.testing.assert_allclose(shares, shares[0], rtol=1e-5)
    np.testing.assert_allclose(shares[0] * examples.asked, np.log(len(learned.labels)), rtol=1e-5)


def test_a_run_finds_words_and_tags(tagging_run, capsys, tmp_path):
    result = json.loads((tagging_run / "metrics.json").read_text())
    assert (
        result["final"]["accuracy"] > 0.95 and result["final"]["words_f1"] > 0.95 and result["final"]["tags_f1"] > 0.9
    )
    dev = tagging_run.parent / "dev.conllu"
    status, out, err = cli(capsys, "evaluate", tagging_run, "--data", dev, "--output", tmp_path / "out.conllu")
    assert status == 0, err
    scores = json.loads(out)
    assert {name: scores[name] for name in ("accuracy", "tags_f1")} == {
        n: result["final"][n] for n in ("accuracy", "tags_f1")
    }
    assert scores["full_width"]["words"] == scores["words"]
    golds, written = (files.read(path, TASK, files.ANY) for path in (dev, tmp_path / "out.conllu"))
    assert [row["text"] for row in written] == [row["text"] for row in golds]
    spans = [{tuple(span): name for span, name in zip(row["spans"], row["tags"], strict=True)} for row in written]
    correct = sum(
        predicted.get(tuple(s)) == t
        for predicted, row in zip(spans, golds, strict=True)
        for s, t in zip(row["spans"], row["tags"], strict=True)
    )
    assert round(correct / scores["words"], 6) == scores["tags_recall"]

    assert cli(capsys, "evaluate", tagging_run, "--data", dev, "--output", tmp_path / "out.txt")[0] == 0
    columns = [line.split(" ") for line in (tmp_path / "out.txt").read_text().split("\n") if line]
    assert round(np.mean([gold == guess for _, gold, guess in columns]), 6) == scores["accuracy"]

    status, out, _ = cli(capsys, "predict", tagging_run, "--text", "a good ab.", "")
    first, empty = map(json.loads, out.splitlines())
    assert first["words"] == ["a", "good", "a", "b", "."] and first["tags"] == ["DET", "ADJ", "DET", "NOUN", "PUNCT"]
    assert first["starts"] == [0, 2, 7, 8, 9] and empty["words"] == []
    status, out, _ = cli(capsys, "predict", tagging_run, "--words", "a", "good", "film")
    assert json.loads(out)["tags"] == ["DET", "ADJ", "NOUN"] and set(json.loads(out)) == {"words", "tags", "scores"}


def test_spans_of_columns(bert_folder, tmp_path, capsys):
    words = {"good": "O", "film": "B-WORK", "very": "I-WORK", ".": "O"}
    draw = random.Random(0)
    sentences = ["".join(f"{w} x {words[w]}\n" for w in draw.choices(list(words), k=5)) for _ in range(240)]
    (tmp_path / "train.txt").write_text("\n".join(sentences))
    (tmp_path / "dev.txt").write_text("\n".join(sentences[:60]))
    options = {
        "train": tmp_path / "train.txt",
        "dev": tmp_path / "dev.txt",
        "init": bert_folder,
        "epochs": 2,
        "column": 3,
    }
    options |= {"learning_rate": 3e-3, "out": tmp_path / "run", "max_length": 16}
    status, out, err = cli(capsys, "finetune", "tagging", *[f"--{name}={value}" for name, value in options.items()])
    assert status == 0, err
    assert json.loads(out)["final"]["spans_f1"] > 0.9
    assert "best      dev spans_f1 " in err
    report = json.loads((tmp_path / "run" / "metrics.json").read_text())["report"]
    assert "report" not in json.loads(out)  # a page
    assert report["intervals"]["spans_f1"]["value"] == json.loads(out)["final"]["spans_f1"]
    assert {*report["classes"]} == {*words.values()} and {*report["spans"]["classes"]} == {"WORK"}
    assert report["spans"]["classes"]["WORK"]["f1"] == report["intervals"]["spans_f1"]["value"]  # the only kind
    assert Run(tmp_path / "run").column == 3

"""Pieces that give the text back."""

import pytest
import tensorflow as tf

from tests.conftest import DATA, needs
from trainer.text import counted
from trainer.text.joined_pieces import JOIN, JoinedPieces

TEXTS = [
    "A man's \"blue\" T-shirt (size: 4,5) isn't here... or is it?",
    "well-known words, e.g. Mr. Smith & Co. — 50% off!",
    "我们在 Berlin 的 U-Bahn 里。",
    "Ein Mädchen läuft über die Straße.",
]


def tokenizer(texts, size=400):
    words = counted.count_lines(texts, lower_case=False)
    return JoinedPieces(counted.of_counts("joined_pieces", words, size), lower_case=False)


def back(tokenizer, texts):
    ids = tokenizer.traced_ids(tf.constant(texts))
    return [text.decode() for text in tokenizer.text(ids.to_tensor()).numpy()]


def test_texts_come_back():
    found = back(tokenizer(TEXTS), TEXTS)
    assert found == [*TEXTS[:2], "我们在Berlin的U-Bahn里。", TEXTS[3]]  # beside Chinese no space is written
    assert back(tokenizer(TEXTS), ["  a \t b\n", "", "'Tis"]) == ["a b", "", "'Tis"]


def test_what_joins():
    pieces = tokenizer(["hello", "(hello)", "hello.", "don't"] * 9, size=60)
    cut = lambda text: [pieces.vocabulary[i] for i in pieces(tf.constant([text])).ids.flat_values.numpy()]
    assert cut("hello.") == ["hello", "##."] and cut("hello .") == ["hello", "."]
    assert cut("(hello)") == ["(", JOIN, "hello", "##)"]
    assert cut(JOIN)[0] != JOIN  # written in a text it is text


def test_special_tokens_are_nothing():
    pieces = tokenizer(TEXTS)
    ids = [pieces.vocabulary.index(piece) for piece in ("[CLS]", "[PAD]")]
    letter = pieces.vocabulary.index("M")
    assert pieces.text(tf.constant([[*ids, letter, ids[1]]])).numpy() == [b"M"]


def test_a_vocabulary_without_joins_is_refused():
    with pytest.raises(ValueError, match=r"joined_pieces: expected a vocabulary with \[JOIN\], found 6 pieces without"):
        JoinedPieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"], lower_case=False)


@needs(DATA / "translation")
def test_captions_come_back():
    texts = [
        line
        for language in ("de", "en")
        for line in (DATA / "translation/multi30k" / f"val.{language}").read_text().splitlines()
    ]
    assert back(tokenizer(texts, size=4000), texts) == [" ".join(text.split()) for text in texts]

"""Units back to text: what a language model writes is set as the text that it goes on with."""

import pytest
import tensorflow as tf

from trainer.text import spelling
from trainer.text.units import UNITS
from trainer.text.vocabulary import SPECIAL

CASES = {
    "pieces": [
        ("He walk", ["##ed", "home", ",", "didn", "'", "t", "he", "?"], "ed home, didn't he?"),
        ("He ", ["said", ":", "(", "a", "-", "b", ")", "…"], "said: (a-b)…"),
        ("", ["the", "end", ".", "[SEP]", "[SEP]", "he"], "the end.\n\nhe"),
        ("end.\n", ["he"], "he"),
        ("他说", ["你", "##好", "，", "Tom", "。"], "你好，Tom。"),
        ("Tom", ["好"], "好"),
        ("naïve👍", ["a"], " a"),
        ("", [], ""),
        ("a", [], ""),
        ("a\u3000", ["b"], "b"),
    ],
    "words": [("it cost", ["$", "5", "%", ";"], " $5%;")],
    "tokens": [("a", ["b", ",", "c", "[SEP]", "(", "d"], " b , c\n( d"), ("", ["a"], "a")],
    "code_points": [("a", ["b", " ", ",", "[SEP]", "c"], "b ,\nc"), ("", [], "")],
    "joined_pieces": [("a", ["b", "##,", "[JOIN]", "c", "国", "d"], " b,c国d")],
}


@pytest.mark.parametrize("unit", CASES)
def test_continuations(unit):
    pieces = dict.fromkeys(piece for _, written, _ in CASES[unit] for piece in written)
    vocabulary = [*SPECIAL, *(["[JOIN]"] if unit == "joined_pieces" else []), *(p for p in pieces if p[0] != "[")]
    tokenizer = UNITS[unit](vocabulary, lower_case=False)
    ids = tf.ragged.constant([[vocabulary.index(p) for p in written] for _, written, _ in CASES[unit]], tf.int32)
    before = tf.constant([before for before, _, _ in CASES[unit]])
    graph = tf.function(tokenizer.continuation, autograph=False)
    written = [text.decode() for text in graph(ids, before).numpy()]
    assert written == [expected for _, _, expected in CASES[unit]]


APPENDED = [
    ("the ", "cat", "the cat"),
    ("the", "cat", "the cat"),
    ("the", ".", "the."),
    ("walk \t", "##ed", "walked"),
    ("(", "a", "(a"),
    ("", "##s", "s"),
    ("", "a", "a"),
    ("很", "好", "很好"),
    ("很", "##好", "很好"),
    ("很 ", "好", "很 好"),
    ("用", "python", "用python"),
    ("の", "に", "のに"),
    ("naïve", "é", "naïve é"),
    ("a3", "4", "a3 4"),
    ("👍", "a", "👍a"),
    ("#", "##", "###"),
]


def test_appended():
    before, pieces, expected = (tf.constant(column) for column in zip(*APPENDED, strict=True))
    graph = tf.function(spelling.append, autograph=False)
    assert graph(before, pieces).numpy().tolist() == expected.numpy().tolist()


def test_lines():
    vocabulary = [*SPECIAL, "a", "b", " "]
    tokenizer = UNITS["code_points"](vocabulary, lower_case=False)
    found = tokenizer.lines(tf.constant(["", "a b", "a\nb\n", "\r\na?", "\n\n"]))
    end, unknown, a, b, space = (vocabulary.index(piece) for piece in ("[SEP]", "[UNK]", "a", "b", " "))
    assert found.to_list() == [[end], [end, a, space, b], [end, a, end, b, end], [end, end, a, unknown], [end] * 3]
    assert tokenizer.lines(tf.zeros([0], tf.string)).to_list() == []

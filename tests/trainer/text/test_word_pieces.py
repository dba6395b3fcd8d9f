"""Word pieces: equal to Google's reference, with positions in the original string."""

import json
import random
import unicodedata

import pytest
import tensorflow as tf

from tests import reference_tokenization as reference
from tests.conftest import DATA, GOLDEN, VOCABULARY, needs
from trainer.text.vocabulary import read_vocabulary
from trainer.text.word_pieces import WordPieces

# Lines of the golden files that cannot be equal, with the reason: {(file, line number): reason}. None so far.
UNEQUAL = {}

AWKWARD = [
    "", "   ", "Good film!", "café CAFÉ Café", "中国，人。", "（中）１２", "[MASK] [CLS]", "a\tb\nc\rd", "a\u00a0b\u2003c\u3000d",
    "un\u0000a\ufffd\u200bable", "\u0001\u0002", "≠ ≮ ≯ ` a≠b", "ΑΣ ΑΣ. ΑΣ.Α ΑΣ\u0001Α Α.Σ Σ ΣΑ", "İstanbul İ", "ß ẞ SS",
    "good" * 50, "good" * 51, "é" * 200, "é" * 201, "电电" * 300, "👍 good👍film", "a\u0301 \u0301 \u0301a !\u0301a", "##un",
    "a\u2028b\u2029c\x85d\x1ce", "unable-unable", "\ufeffgood", "가각 힣", "①²ﬁ", "A Good Café É", "電\u0308", "𠀀𠀁a",
]  # fmt: skip


def as_lists(pieces, vocabulary):
    """Returns [[(piece, word, start, end)]], one list per string."""
    return [
        [(vocabulary[i], w, s, e) for i, w, s, e in zip(*fields, strict=True)]
        for fields in zip(*(field.to_list() for field in pieces), strict=True)
    ]


def dropped(character, *categories):
    return character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", *categories)


def random_strings(count, seed=0):
    draw = random.Random(seed)
    alphabets = [
        "abcunable GOODÉé", " \t\n\u00a0\u3000", "中国人好坏電，。（！？", "!.,#[]`=<>≠≮≯", "ΑΣσςİß", "\u0301\u0308\u00ad\u200b\u0000\ufffd",
        [chr(draw.choice([draw.randrange(0x20, 0xD800), draw.randrange(0xE000, 0x30000)])) for _ in range(3000)],
    ]  # fmt: skip
    assigned = lambda character: unicodedata.category(character) != "Cn"  # in Python's Unicode version
    strings = ("".join(draw.choice(draw.choice(alphabets)) for _ in range(draw.randrange(30))) for _ in range(count))
    return ["".join(filter(assigned, string)) for string in strings]


@pytest.mark.parametrize("lower_case", [True, False], ids=["lower", "cased"])
def test_equals_reference_with_words_and_places(lower_case):
    texts = AWKWARD + random_strings(3000)
    pieces = tf.function(WordPieces(VOCABULARY, lower_case=lower_case))(tf.constant(texts))
    for text, actual in zip(texts, as_lists(pieces, VOCABULARY), strict=True):
        expected = reference.tokenize(text, set(VOCABULARY), lower_case=lower_case)
        assert [piece[:2] for piece in actual] == [piece[:2] for piece in expected], repr(text)
        for (_, _, start, end), (_, _, first, last) in zip(actual, expected, strict=True):
            # The reference drops accents; ours belong to their letter. (At a start: alone, or after a delimiter.)
            assert start <= first and last <= end <= len(text), repr(text)
            assert all(dropped(c, "Mn") for c in text[start:first] + text[last:end]), repr(text)
            assert not dropped(text[start]) and not dropped(text[end - 1]), repr(text)


@pytest.mark.parametrize(
    "file, vocabulary",
    [("tokenization-uncased-en.jsonl", "bert-base-uncased"), ("tokenization-zh.jsonl", "bert-base-chinese")],
)
@needs(GOLDEN)
def test_golden_ids(file, vocabulary):
    vocabulary = read_vocabulary(DATA / "vocab" / vocabulary / "vocab.txt")
    rows = [json.loads(line) for line in (GOLDEN / file).read_text(encoding="utf-8").splitlines()]
    ids = WordPieces(vocabulary, lower_case=True)(tf.constant([row["text"] for row in rows])).ids.to_list()
    unequal = {(file, i) for i, row in enumerate(rows, 1) if ids[i - 1] != row["ids"]}
    assert unequal == {line for line in UNEQUAL if line[0] == file}
    known = set(vocabulary)
    for row in rows[::7]:  # checks the reference that the test above trusts
        expected = [piece for piece, *_ in reference.tokenize(row["text"], known, lower_case=True)]
        assert expected == [vocabulary[i] for i in row["ids"]]


def test_words_slice_the_original():
    text = "Ünï👍 中国，Café\u200b!"
    pieces = as_lists(WordPieces(VOCABULARY, lower_case=True)(tf.constant([text])), VOCABULARY)[0]
    assert [text[start:end] for _, _, start, end in pieces] == ["Ünï👍", "中", "国", "，", "Café", "!"]


def test_special_tokens_are_text():
    pieces = as_lists(WordPieces(VOCABULARY, lower_case=True)(tf.constant(["[MASK]"])), VOCABULARY)[0]
    assert [piece for piece, *_ in pieces] == ["[", "mask", "]"]


def test_no_strings_and_broken_bytes():
    tokenizer = WordPieces(VOCABULARY, lower_case=True)
    assert tokenizer(tf.constant([], tf.string)).ids.to_list() == []
    pieces = as_lists(tokenizer(tf.constant([b"good \xff\xfe film"])), VOCABULARY)[0]
    assert [piece for piece, *_ in pieces] == ["good", "film"]


@pytest.mark.parametrize(
    "content, message",
    [
        ("[PAD]\n[UNK]\n[CLS]\n", r"with \[PAD\] .*|\[SEP\]"),
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\na\n", "vocab.txt:7: .*line 5"),
    ],
)
def test_bad_vocabulary(tmp_path, content, message):
    (tmp_path / "vocab.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_vocabulary(tmp_path / "vocab.txt")

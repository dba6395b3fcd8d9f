"""Words and characters: equal to a reference in plain Python, with positions in the original string; letters; hash buckets."""

import json
import random
from functools import cache

import numpy as np
import pytest
import tensorflow as tf

from tests import reference_tokenization as reference
from tests.conftest import DATA, GOLDEN, VOCABULARY, needs
from tests.trainer.text.test_word_pieces import AWKWARD, as_lists, dropped, random_strings
from trainer.tasks.tag import units as tagged
from trainer.text.joined_pieces import JOIN
from trainer.text.reader import Reader
from trainer.text.tokenizer import Lookup
from trainer.text.units import UNITS
from trainer.text.vocabulary import SPECIAL, read_vocabulary
from trainer.text.words import is_cjk

WORDS = [
    *SPECIAL, "good", "film", "cafe", "a", "!", ",", "，", "中国", "中国人", "国人好", "人", "好", "电影院", "un", "able", "#", "1",
    "##f", "f", "##i", "i", "##l", "##电", "x", "cafés", "电ab",
]  # fmt: skip


@cache
def read(vocabulary):
    """Returns (the id of each entry, the entries that are words, the characters of the longest of these)."""
    known = {word for word in vocabulary if not word.startswith("##")} - {"", "[UNK]"}
    return {word: i for i, word in enumerate(vocabulary)}, known, max(map(len, known))


def words_of(text, vocabulary, lower_case, fallback):
    """Returns [(ids, start, end)], one for each word; greedy longest match among adjacent CJK characters."""
    ids, known, longest = read(tuple(vocabulary))
    split, i, words = [*reference.words_of_text(text, lower_case)], 0, []
    while i < len(split):
        last = i
        while is_cjk(split[i][0]) and last + 1 < len(split):
            word, start, _ = split[last + 1]
            if not is_cjk(word) or start != split[last][2]:
                break
            last += 1
        for j in range(min(last, i + longest - 1), i - 1, -1):
            word = "".join(word for word, *_ in split[i : j + 1])
            if word in known:
                break
        word, unknown = word if word in known else split[i][0], ids["[UNK]"]
        if word in known:
            pieces = [ids[word]]
        elif fallback == "characters":
            pieces = [ids.get(c if k == 0 else f"##{c}", unknown) for k, c in enumerate(word)]
        else:
            pieces = [unknown if fallback == "unk" else None]  # None: some hash bucket
        words.append((pieces, split[i][1], split[j][2]))
        i = j + 1
    return words


def characters_of(text, vocabulary, lower_case):
    ids, *_ = read(tuple(vocabulary))
    return [
        ([ids.get(c if k == 0 else f"##{c}", ids["[UNK]"]) for k, c in enumerate(word)], start, end)
        for word, start, end in reference.words_of_text(text, lower_case)
    ]


def chinese_strings(count, seed=0):
    draw = random.Random(seed)
    parts = [
        "中",
        "国",
        "人",
        "好",
        "电",
        "影",
        "院",
        "中国",
        "中国人",
        "电影",
        "\u0301",
        "\u200b",
        " ",
        "a",
        "，",
        "龘",
        "film",
        "Café",
    ]
    return ["".join(draw.choices(parts, k=draw.randrange(20))) for _ in range(count)]


def check(pieces, texts, expected_of, vocabulary, buckets=0):
    for text, row in zip(texts, as_lists(pieces, range(len(vocabulary) + buckets)), strict=True):
        expected = expected_of(text)
        flat = [(i, index) for index, (ids, *_) in enumerate(expected) for i in ids]
        ids = [i if i is not None or not len(vocabulary) <= k < len(vocabulary) + buckets else k
               for (i, _), (k, *_) in zip(flat, row, strict=True)]  # fmt: skip
        assert [piece[:2] for piece in row] == [(i, index) for i, (_, index) in zip(ids, flat, strict=True)], repr(text)
        for _, index, start, end in row:
            _, first, last = expected[index]
            assert start <= first and last <= end <= len(text), repr(text)  # accents belong to their letter
            assert all(dropped(c, "Mn") for c in text[start:first] + text[last:end]), repr(text)
            assert not dropped(text[start]) and not dropped(text[end - 1]), repr(text)


@pytest.mark.parametrize("lower_case", [True, False], ids=["lower", "cased"])
@pytest.mark.parametrize("fallback", ["unk", "characters", 7])
def test_words_equal_the_reference(lower_case, fallback):
    texts = AWKWARD + random_strings(300) + chinese_strings(300)
    for vocabulary in (WORDS, VOCABULARY):  # the latter has no Chinese word of several characters
        tokenizer = UNITS["words"](vocabulary, lower_case=lower_case, fallback=fallback)
        buckets = fallback if isinstance(fallback, int) else 0
        assert tokenizer.size == len(vocabulary) + buckets
        expected_of = lambda text, vocabulary=vocabulary: words_of(text, vocabulary, lower_case, fallback)
        check(tokenizer.traced(tf.constant(texts)), texts, expected_of, vocabulary, buckets)


@pytest.mark.parametrize("lower_case", [True, False], ids=["lower", "cased"])
def test_characters_equal_the_reference(lower_case):
    texts = AWKWARD + random_strings(300)
    pieces = UNITS["characters"](VOCABULARY, lower_case=lower_case).traced(tf.constant(texts))
    check(pieces, texts, lambda text: characters_of(text, VOCABULARY, lower_case), VOCABULARY)


@pytest.mark.parametrize(
    "file, vocabulary",
    [("tokenization-uncased-en.jsonl", "bert-base-uncased"), ("tokenization-zh.jsonl", "bert-base-chinese")],
)
@needs(GOLDEN)
def test_texts_of_the_golden_files(file, vocabulary):
    vocabulary = read_vocabulary(DATA / "vocab" / vocabulary / "vocab.txt")
    vocabulary += ["电影", "中国人", "酒店", "非常好"]
    lines = (GOLDEN / file).read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[::7]]
    words = UNITS["words"](vocabulary, lower_case=True, fallback="characters").traced(tf.constant(texts))
    check(words, texts, lambda text: words_of(text, vocabulary, True, "characters"), vocabulary)
    characters = UNITS["characters"](vocabulary, lower_case=True).traced(tf.constant(texts))
    check(characters, texts, lambda text: characters_of(text, vocabulary, True), vocabulary)


def test_the_longest_chinese_word_is_taken():
    text = "中国人好，国人好人电影院电"
    pieces = UNITS["words"](WORDS, lower_case=True).traced(tf.constant([text]))
    spans = [text[start:end] for _, _, start, end in as_lists(pieces, WORDS)[0]]
    assert spans == ["中国人", "好", "，", "国人好", "人", "电影院", "电"]
    assert [piece for piece, *_ in as_lists(pieces, WORDS)[0]] == [*spans[:-1], "[UNK]"]


def test_long_words_and_many_characters():
    many = [chr(0x4E00 + i) for i in range(8000)]
    tokenizer = UNITS["characters"]([*SPECIAL, *many, "a", "##a"], lower_case=True)
    assert tokenizer(tf.constant(["".join(many) + "a" * 1000])).ids.to_list() == [
        [*range(5, 8005), 8005, *[8006] * 999]
    ]
    words = UNITS["words"]([*SPECIAL, "中国", "a" * 256, "a" * 257], lower_case=True)
    ids = words(tf.constant(["中国" * 3000, "a" * 256, "a" * 257])).ids.to_list()
    assert ids == [[5] * 3000, [6], [1]]  # what is too long for the op is unknown


def test_one_word_always_has_one_bucket():
    tokenizer = UNITS["words"](WORDS, lower_case=True, fallback=1000)
    ids = tokenizer(tf.constant(["Unknown UNKNOWN other"])).ids.to_list()[0]
    assert ids[0] == ids[1] != ids[2] and min(ids) >= len(WORDS)


@pytest.mark.parametrize("fallback", ["unk", "characters", 7])
def test_letters_are_the_bytes_of_the_word_as_it_stands(fallback):
    texts = AWKWARD + random_strings(300) + chinese_strings(300)
    plain = UNITS["words"](WORDS, lower_case=True, fallback=fallback).traced(tf.constant(texts))
    pieces = UNITS["words"](WORDS, lower_case=True, fallback=fallback, letters=6).traced(tf.constant(texts))
    numbers, splits = pieces.ids.flat_values.numpy(), pieces.ids.row_splits.numpy()
    np.testing.assert_array_equal(numbers[:, 0], plain.ids.flat_values)
    for row, (text, starts, ends) in enumerate(zip(texts, pieces.starts.to_list(), pieces.ends.to_list(), strict=True)):
        words = [[1 + byte for byte in text[a:b].encode()[:6]] for a, b in zip(starts, ends, strict=True)]
        expected = [word + [0] * (6 - len(word)) for word in words]
        assert numbers[splits[row] : splits[row + 1], 1:].tolist() == expected, repr(text)


def test_a_reader_frames_letters_beside_ids():
    plain, spelled = (Reader(UNITS["words"](WORDS, lower_case=True, letters=n), 7) for n in (0, 5))
    texts, second = ["Good film", "", "Café! 中国人电影院 a a a a a"], ["a", "b", ""]
    for columns in ((texts,), (texts, second), ([""],)):
        expected, inputs = plain(*columns), spelled(*columns)
        assert {*inputs} == {*spelled.inputs()} == {*expected, "letters"}
        for name, value in expected.items():
            np.testing.assert_array_equal(inputs[name], value)
        for name, spec in spelled.inputs().items():
            assert spec.is_compatible_with(inputs[name])
    letters = spelled(texts)["letters"].numpy()
    assert letters[0].tolist() == [
        [0] * 5,
        [1 + b for b in b"Good"] + [0],
        [1 + b for b in b"film"] + [0],
        *[[0] * 5] * 4,
    ]
    assert letters[2, 1].tolist() == [1 + byte for byte in "Café".encode()] and "letters" not in plain.inputs()
    ids = spelled.ids(texts, chunk=2)
    assert spelled.lengths(ids).tolist() == plain.lengths(plain.ids(texts)).tolist()
    for (ids, *rest), (numbers, *others) in zip(plain.pieces(texts), spelled.pieces(texts), strict=True):
        np.testing.assert_array_equal(ids, numbers[:, 0])
        assert all(np.array_equal(*pair) for pair in zip(rest, others, strict=True))


def test_a_given_word_of_which_nothing_is_left_is_unknown():
    for letters, empty in ((0, 1), (3, [1, 0, 0, 0])):
        reader = Reader(UNITS["words"](WORDS, lower_case=True, letters=letters), 9)
        ((ids, first, begins),) = tagged.words(reader, [["\u200b", "good"]])
        assert ids.tolist()[0] == empty and first.tolist() == begins.tolist() == [True, True]


def test_a_lookup_finds_its_entries_alone():
    lookup = Lookup(["a", "ab", "[", "中"])
    assert lookup(tf.constant(["ab", "a", "b", "aab", "[", "中中", "[UNK]"])).numpy().tolist() == [
        1,
        0,
        -1,
        -1,
        2,
        -1,
        -1,
    ]
    assert lookup(tf.constant([], tf.string)).shape == [0]


@pytest.mark.parametrize(
    "unit, options, message",
    [
        ("pieces", {"fallback": 3}, "unknown pieces: expected unk, received 3"),
        ("characters", {"fallback": "characters"}, "unknown characters: expected unk, received characters"),
        ("words", {"fallback": 0}, "unknown words: expected unk, characters, a number above 0, received 0"),
        ("pieces", {"letters": 3}, "letters of words: expected the unit words or tokens, received pieces"),
    ],
)
def test_what_a_unit_does_not_have(unit, options, message):
    with pytest.raises(ValueError, match=message):
        UNITS[unit](WORDS, lower_case=True, **options)


@pytest.mark.parametrize("strings", [[], [""], ["", " \t"]])
@pytest.mark.parametrize("unit, letters", [*((unit, 0) for unit in UNITS), ("words", 3), ("tokens", 3)])
def test_texts_without_a_word(unit, letters, strings):
    lower_case = unit not in ("code_points", "tokens")
    pieces = UNITS[unit]([*WORDS, JOIN], lower_case=lower_case, letters=letters)(tf.constant(strings, tf.string))
    assert pieces.ids.nrows() == pieces.starts.nrows() == len(strings)
    characters = sum(map(len, strings)) if unit == "code_points" else 0  # of which white space is one
    assert len(pieces.ids.flat_values) == len(pieces.words.flat_values) == characters

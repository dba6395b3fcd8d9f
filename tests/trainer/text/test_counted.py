"""Vocabularies made of texts."""

from collections import Counter
from itertools import pairwise

import tensorflow as tf

from tests import reference_tokenization as reference
from tests.trainer.text.test_word_pieces import AWKWARD, random_strings
from trainer.text import counted
from trainer.text.units import UNITS
from trainer.text.vocabulary import SPECIAL

TEXTS = ["The café, the Café", "中国人 好 the", "low lower lowest", "low low"]


def texts_of(texts, words=()):
    return counted.Texts(Counter(texts), Counter(words))


def test_words_are_counted_as_the_reference_has_them():
    texts = AWKWARD + random_strings(1200)  # more than one chunk, some twice
    texts = [
        text for text in texts if max(text, default="") < "\U00010000"
    ]  # beyond, TF Text's Unicode is older than Python's
    expected = Counter(word for text in texts for word, *_ in reference.words_of_text(text, True))
    # The order of the first appearance of texts, by which ties are broken
    order = dict.fromkeys(word for text in dict.fromkeys(texts) for word, *_ in reference.words_of_text(text, True))
    counts = counted.count(texts_of(texts))
    assert counts == expected and [*counts] == [*order]


def test_the_most_frequent_words_are_taken():
    entries = counted.vocabulary("words", texts_of(TEXTS), 11)
    assert entries == [*SPECIAL, "the", "low", "cafe", ",", "中", "国"]
    assert counted.vocabulary("words", texts_of(TEXTS), 999)[:11] == entries


def test_given_words_count_and_chinese_ones_are_words():
    texts = texts_of(["中国人", "a b"], ["中国", "中国", "人", "a b", "I\u0301'm"])
    assert counted.count(texts, joined=True) == Counter(
        {"中": 1, "国": 1, "中国": 2, "人": 2, "a": 2, "b": 2, "i": 1, "'": 1, "m": 1}
    )
    assert counted.vocabulary("words", texts, 6)[5:] == ["人"] and "中国" in counted.vocabulary("words", texts, 9)
    assert "中国" not in counted.vocabulary("pieces", texts, 99) + counted.vocabulary("characters", texts, 99)


def test_words_that_no_lookup_takes_are_left_out():
    texts = texts_of(["a" * 257 + " " + "好b" * 3 + " " + "b" * 256] * 2)
    for unit in ("words", "pieces"):
        entries = counted.vocabulary(unit, texts, 999)
        assert "b" * 256 in entries and max(len(entry.removeprefix("##")) for entry in entries) == 256
        assert UNITS[unit](entries, lower_case=True)(tf.constant(["b"])).ids.shape[0] == 1


def test_unknown_words_can_be_spelled():
    entries = counted.vocabulary("words", texts_of(TEXTS), 7, fallback="characters")
    assert entries[:7] == [*SPECIAL, "the", "low"] and {"l", "##o", "##w", "c", "##a"} < {*entries}
    assert not {"中", "##中"} & {*entries} and len({*entries}) == len(entries)
    ids = UNITS["words"](entries, lower_case=True, fallback="characters")(tf.constant(["lower"])).ids.to_list()[0]
    assert [entries[i] for i in ids] == ["l", "##o", "##w", "##e", "##r"]


def test_characters_are_word_pieces_of_one():
    entries = counted.vocabulary("characters", texts_of(TEXTS), 99)
    assert entries[:8] == [*SPECIAL, "##e", "l", "##o"] and all(
        len(entry.removeprefix("##")) == 1 for entry in entries[5:]
    )
    pieces, characters = (
        UNITS[unit](entries, lower_case=True)(tf.constant(TEXTS)).ids for unit in ("pieces", "characters")
    )
    assert pieces.to_list() == characters.to_list() and counted.SIZES.keys() == UNITS.keys()


def naive_pieces(words, size):
    """Merges the most frequent pair, counted anew for every merge."""
    spelled = {word: [word[0], *("##" + c for c in word[1:])] for word in words}
    found = dict.fromkeys(counted.first(counted.characters(words), size))
    while len(found) < size:
        pairs = Counter()
        for word, pieces in spelled.items():
            for pair in pairwise(pieces):
                pairs[pair] += words[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        found[best[0] + best[1][2:]] = None
        for word, pieces in spelled.items():
            merged, i = [], 0
            while i < len(pieces):
                both = (*pieces[i : i + 2],) == best
                merged.append(best[0] + best[1][2:] if both else pieces[i])
                i += 1 + both
            spelled[word] = merged
    return [*found]


def test_pieces_are_merged_as_by_counting_anew():
    texts = ["aaaa aaab abab banana bandana", "lower lowest slow slowest newest widest", *TEXTS, *random_strings(60)]
    words = counted.count(texts_of(texts))
    for size in (20, 150, 9999):
        assert counted.pieces(words, size) == naive_pieces(words, size)
    entries = counted.vocabulary("pieces", texts_of(texts), 9999)
    assert "low" in entries and "##est" in entries
    ids = UNITS["pieces"](entries, lower_case=True)(tf.constant(texts)).ids
    assert 1 not in ids.flat_values.numpy()


def test_the_share_of_unknown_tokens():
    for fallback in ("unk", "characters", 9):
        tokenizer = UNITS["words"]([*SPECIAL, "low", "l"], lower_case=True, fallback=fallback)
        assert counted.unknown_share(tokenizer, ["low lower Low", "l"]) == (4, 0.25)
    assert counted.unknown_share(UNITS["characters"]([*SPECIAL, "l", "##o"], lower_case=True), ["low"]) == (3, 1 / 3)
    assert counted.unknown_share(tokenizer, [""]) == (0, 0.0)

"""Vocabularies made of texts."""

from collections import Counter

import tensorflow as tf
import tokenizers
import tokenizers.models
import tokenizers.pre_tokenizers
import tokenizers.trainers

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
    entries = counted.vocabulary("words", texts_of(TEXTS), 11, minimum=1)
    assert entries == [*SPECIAL, "the", "low", "cafe", ",", "中", "国"]
    assert counted.vocabulary("words", texts_of(TEXTS), 999, minimum=1)[:11] == entries


def test_what_stands_there_once_is_no_word():
    assert counted.vocabulary("words", texts_of(TEXTS), 999) == [*SPECIAL, "the", "low", "cafe"]
    assert counted.vocabulary("words", texts_of(TEXTS), 999, minimum=4) == [*SPECIAL]
    spelled = counted.vocabulary("words", texts_of(TEXTS), 999, fallback="characters")
    assert {"##r", "##s", ","} < {*spelled}  # of the words that are left out, too
    assert counted.MINIMA.keys() == UNITS.keys()


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


def plain_pieces(words, size):
    """The library as its own documentation calls it, on words."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=size, special_tokens=[*SPECIAL], show_progress=False)
    tokenizer.train_from_iterator([" ".join(words.elements())], trainer)
    return tokenizer.get_vocab()


def test_pieces_are_those_of_the_library():
    # No two pairs stand there as often as one another.
    words = Counter({"lo": 40, "low": 30, "lowe": 20, "lower": 9, "ba": 50, "ban": 25, "bana": 12})
    whole = counted.pieces(words, 999)
    assert whole[:5] == [*SPECIAL] and whole[-7:] == ["lo", "ba", "low", "ban", "lowe", "bana", "lower"]
    for size in (19, 22, 24, 999):
        assert {*counted.pieces(words, size)} == {*plain_pieces(words, size)}
        assert counted.pieces(words, size) == whole[:size]


def test_pieces_are_the_same_every_time():
    texts = ["aaaa aaab abab banana bandana", "lower lowest slow slowest newest widest", *TEXTS, *random_strings(200)]
    words = counted.count(texts_of(texts))  # many pairs as often as one another
    for size in (20, 250, 9999):
        once, *others = (counted.pieces(words, size) for _ in range(4))
        assert all(other == once for other in others) and len(once) <= size
    assert len({str(plain_pieces(words, 250)) for _ in range(9)}) > 1  # what `pieces` mends
    entries = counted.vocabulary("pieces", texts_of(texts), 9999)
    assert "low" in entries and entries == once
    ids = UNITS["pieces"](entries, lower_case=True)(tf.constant(texts)).ids
    assert 1 not in ids.flat_values.numpy()
    rare = counted.vocabulary("pieces", texts_of(["ab ab cd"]), 99, minimum=2)
    assert rare[5:] == ["a", "##b", "c", "##d", "b", "d", "ab"]
    words = counted.count(texts_of(["ab ab cd"]))
    assert counted.of_counts("pieces", words, 99, of_characters=2)[5:] == ["a", "##b", "b", "ab"]
    words = counted.count(texts_of([*TEXTS, *random_strings(400)]))
    once, *others = (counted.pieces(words, 250, of_characters=9) for _ in range(6))
    assert all(other == once for other in others)
    often = {piece for piece, number in counted.characters(words).items() if number >= 9}
    assert {piece for piece in once[5:] if len(piece.removeprefix("##")) == 1} <= {
        form for piece in often for form in (piece, piece.removeprefix("##"), f"##{piece.removeprefix('##')}")
    }


def test_the_share_of_unknown_tokens():
    for fallback in ("unk", "characters", 9):
        tokenizer = UNITS["words"]([*SPECIAL, "low", "l"], lower_case=True, fallback=fallback)
        assert counted.unknown_share(tokenizer, [("low lower Low", 2), ("l", 1), ("lower", 3)]) == (10, 0.5)
    assert counted.unknown_share(UNITS["characters"]([*SPECIAL, "l", "##o"], lower_case=True), [("low", 7)]) == (
        21,
        1 / 3,
    )
    assert counted.unknown_share(tokenizer, [("", 1)]) == (0, 0.0)


def test_lines_are_counted_as_texts():
    lines = AWKWARD + random_strings(1200)
    once, both = counted.count_lines(iter(lines)), counted.count(texts_of(lines))
    assert once == both and counted.number_of_words(once) == sum(both.values())


def test_chinese_words_are_found_by_a_segmenter():
    segment = lambda run: {"中国人好": ["中国", "人", "好"], "好中国": ["好", "中国"]}[run]
    counts = counted.count_lines(["中国人好！A b", "好中国，中 国"], segment=segment)
    assert counts == Counter("中国人好!ab好中国中国".replace("!", "！") + "，") + Counter({"中国": 2})
    assert counted.number_of_words(counts) == 3 + 3 + 2 + 1 + 2


def test_chinese_texts_are_told():
    told = {
        text: counted.are_chinese(counted.Texts({text: 1}, {})) for text in ("房间很干净 ok", "a film 好", "", "123。")
    }
    assert told == {"房间很干净 ok": True, "a film 好": False, "": False, "123。": False}

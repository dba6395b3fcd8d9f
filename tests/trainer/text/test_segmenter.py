"""Chinese words by a dictionary, and by longest match."""

import pytest

from trainer.text.segmenter import agreement, segmenter
from trainer.text.units import UNITS
from trainer.text.vocabulary import SPECIAL


def test_the_segmenter_finds_words():
    pytest.importorskip("rjieba")
    assert segmenter()("我来到北京清华大学") == ["我", "来到", "北京", "清华大学"]


def test_agreement():
    cuts = {"中国人好": ["中国", "人", "好"], "好": ["好"], "国人好中": ["国", "人", "好中"]}
    vocabulary = [*SPECIAL, "中国", "人好", "国人", "好", "中"]
    tokenizer = UNITS["words"](vocabulary, lower_case=True)
    # longest match: 中国 人好 | 好 | 国人 好 中
    texts = ["a中国人好，Good 好", "", "国人好中 b"]
    assert agreement(tokenizer, texts, cuts.__getitem__) == {
        "lines": 3,
        "words": 7,
        "precision": round(2 / 6, 4),
        "recall": round(2 / 7, 4),
        "f1": round(2 * 2 / 13, 4),
        "boundaries": round(2 / 4, 4),
    }
    whole = UNITS["words"]([*vocabulary, "好中"], lower_case=True)
    found = agreement(whole, ["好中"] * 1500, lambda run: [run])  # more than one chunk
    assert (found["words"], found["f1"], found["boundaries"]) == (1500, 1.0, 0.0)


def test_known_words_of_a_spelled_vocabulary_agree():
    tokenizer = UNITS["words"]([*SPECIAL, "中国", "b", "##d"], lower_case=True, fallback="characters")
    found = agreement(tokenizer, ["中国bd中国"], lambda run: [run])
    assert (found["words"], found["precision"], found["recall"]) == (2, 1.0, 1.0)

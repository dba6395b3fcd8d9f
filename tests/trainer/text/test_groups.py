"""Chinese words of several characters, sentences: borders in text that is written by people."""

import numpy as np
import pytest

from trainer.text import groups
from trainer.text.sentences import sentences


def words(text):
    """Returns where the words of a text are, as the tokenizer has them: Chinese characters alone, runs of letters together."""
    places, start = [], 0
    for end in range(1, len(text) + 1):
        joined = (
            end < len(text) and text[end - 1].isascii() and text[end].isascii() and (text[end - 1 : end + 1]).isalnum()
        )
        if not joined:
            places += [(start, end)] if not text[start:end].isspace() else []
            start = end
    return np.array(places).T


@pytest.mark.parametrize(
    "text, segmented, expected, disagreements",
    [
        ("我爱北京天安门", ["我", "爱", "北京", "天安门"], "我 爱 北京 天安门", 0),
        ("用T恤换iPhone12", ["用", "T恤", "换", "iPhone", "12"], "用 T 恤 换 iPhone12", 2),
        ("北京 大学", ["北京", " ", "大学"], "北京 大学", 0),
        ("a b", ["a", " ", "b"], "a b", 0),
        ("，中国。", ["，", "中国", "。"], "， 中国 。", 0),
    ],
)
def test_characters_of_a_chinese_word_are_one_group(text, segmented, expected, disagreements):
    assert "".join(segmented) == text
    starts, ends = words(text)
    joined, count = groups.joined(text, starts, ends, lambda _: segmented)
    found = ""
    for start, end, goes_on in zip(starts, ends, joined, strict=True):
        found += ("" if goes_on else " ") + text[start:end]
    assert (found.strip(), count) == (expected, disagreements)


@pytest.mark.parametrize(
    "expected",
    [
        [
            "It was Dr. J. R. Brown's. ",
            "He left!  ",
            "So did I. ",
            "We... stayed in the U.S. Army. ",
            '"Yes." ',
            "She said.",
        ],
        ["他说：“你好！”", "然后走了。", "真的？！", "是的……也许吧"],
        ["See No. 5, e.g. this: 3.14. ", "What?! ", "Yes"],
        ["“好。”", "（完。）", "Then he left."],
        ["no end"],
    ],
)
def test_sentences(expected):
    text = "".join(expected)
    assert [text[start:end] for start, end in sentences(text)] == expected


def test_no_sentence_of_nothing():
    assert sentences("") == [] and sentences("  ") == [(0, 2)]

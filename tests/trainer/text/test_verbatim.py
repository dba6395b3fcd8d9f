"""Text as it is written: units give the text back, each at its place."""

import pytest
import tensorflow as tf

from tests.conftest import ALPHABET
from trainer.text import counted
from trainer.text.units import UNITS
from trainer.text.vocabulary import SPECIAL

WRITTEN = ["Not  unable\tCafé", "", " 中国[SEP]\u3000人 [MASK] ", "a\u2028b\x0bc\x1cd\x85e", "".join(ALPHABET)]
TEXTS = [text.replace("\0", "\ufffd") for text in WRITTEN]  # as it is read


@pytest.mark.parametrize("unit, cut", [("code_points", list), ("tokens", str.split)])
def test_units_are_those_of_python(unit, cut):
    kind = UNITS[unit]
    counts = counted.count_lines(WRITTEN, splitter=kind.splitter)
    assert counts == {piece: sum(cut(text).count(piece) for text in TEXTS) for text in TEXTS for piece in cut(text)}
    vocabulary = counted.of_counts(unit, counts, 1000, minimum=1)
    assert vocabulary[:5] == [*SPECIAL] and len({*vocabulary}) == len(vocabulary)
    pieces = kind(vocabulary).traced(tf.constant(WRITTEN))
    for text, ids, starts, ends in zip(
        TEXTS, *(x.to_list() for x in (pieces.ids, pieces.starts, pieces.ends)), strict=True
    ):
        expected = [piece if piece in vocabulary[5:] else "[UNK]" for piece in cut(text)]
        assert [vocabulary[i] for i in ids] == expected
        assert [text[start:end] for start, end in zip(starts, ends, strict=True)] == cut(text)
    unknown = {piece for text in TEXTS for piece in cut(text)} - {*vocabulary[5:]}
    assert unknown <= {"\r", "[SEP]", "[MASK]"}  # no entries of a vocab.txt, or none that a text may name


def test_what_is_written_has_no_lower_case():
    with pytest.raises(ValueError, match="tokens: are read as they are written"):
        UNITS["tokens"]([*SPECIAL, "a"], lower_case=True)

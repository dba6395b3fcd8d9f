"""Units back to text, inside the graph: which of them a space stands between.

A tokenizer that cuts words at their punctuation does not keep the spaces that stood there, so what a model writes in such units
is set as English and Chinese are: none before a mark that closes and behind one that opens, none around an apostrophe or a
hyphen, none beside a Chinese character. Units that stand in a text as they are give back what was learned.

Every op here loads in TF 2.12.1 and later. Glossary of shapes: B batch, P pieces of a text.
"""

import tensorflow as tf

from trainer.text.words import CJK

WIDE = rf"{CJK}\x{{3000}}-\x{{303F}}\x{{FF01}}-\x{{FF60}}"  # ideographs and full-width punctuation
_UNSPACED = rf"[{WIDE}\p{{Hiragana}}\p{{Katakana}}\p{{Thai}}\p{{Lao}}\p{{Khmer}}\p{{Myanmar}}]"
Rules = tuple[tuple[str, str], ...]  # (regular expression of RE2, what stands in its place), one after the other

LINES: Rules = ((r" *\n *", "\n"),)  # the end of a line is a unit
CHINESE: Rules = ((rf" *([{WIDE}]) *", r"\1"),)
CONTINUED: Rules = ((" ##", ""),)  # pieces that go on with a word
ENGLISH: Rules = (
    (r" ([,.!?;:%)\]}…])", r"\1"),
    (r"([(\[{$£€]) ", r"\1"),
    (r" (['’-]) ", r"\1"),
)
WORDS: Rules = (*CONTINUED, *LINES, *ENGLISH, *CHINESE)


def join(pieces: tf.RaggedTensor, before: tf.Tensor, separator: str, rules: Rules) -> tf.Tensor:
    """Returns what pieces add to texts that they are written behind, [B].

    Args:
        pieces: Strings [B, (P)].
        before: Texts [B]; a text and what is returned, one behind the other, read on as they should.
        separator: What stands between two pieces, before the rules: a space, or nothing.
        rules: In order.
    """
    body = tf.strings.reduce_join(pieces, axis=1, separator=separator)
    if not separator:
        return body
    last = tf.strings.substr(" " + valid(before), -1, 1, unit="UTF8_CHAR")
    behind_space = tf.strings.regex_full_match(last, r"[\s\pZ]")
    whole = tf.where(behind_space, " ", last) + separator + body
    for pattern, replacement in rules:
        whole = tf.strings.regex_replace(whole, pattern, replacement)
    whole = tf.strings.regex_replace(whole, " +$", "")
    begun = tf.strings.regex_replace(whole, r"(?s)^.", "", replace_global=False)
    return tf.where(behind_space, tf.strings.regex_replace(whole, "^ +", ""), begun)


def valid(strings: tf.Tensor) -> tf.Tensor:
    """Returns strings of valid UTF-8."""
    return tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")


def append(before: tf.Tensor, pieces: tf.Tensor) -> tf.Tensor:
    """Returns texts with a piece written behind each, both [N]. One with ## goes on with the last word, whatever white space
    stood there; any other begins a word, so that a space goes in front of it behind a letter or a digit, where they have spaces."""
    continues = tf.strings.regex_full_match(pieces, "##.+")
    bare = tf.strings.regex_replace(pieces, "^##(.)", r"\1")
    last = tf.strings.substr(" " + before, -1, 1, unit="UTF8_CHAR")
    first = tf.strings.substr(bare, 0, 1, unit="UTF8_CHAR")
    between = tf.where(_is_spaced(last) & _is_spaced(first), " ", "")
    joined = tf.strings.regex_replace(before, r"[\s\pZ]+$", "") + bare
    return tf.where(continues, joined, before + between + bare)


def _is_spaced(characters):
    """Returns of each character whether it is a letter or a digit of a script that has spaces between words."""
    return tf.strings.regex_full_match(characters, r"[\pL\pM\pN]") & ~tf.strings.regex_full_match(characters, _UNSPACED)

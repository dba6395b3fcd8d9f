"""Vocabularies made of texts: words and characters by how often they stand there, word pieces by merging what stands together."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise

import numpy as np
import tensorflow as tf

from trainer.text import joined_pieces
from trainer.text.tokenizer import LONGEST_ENTRY, STRINGS, Fallback, Tokenizer
from trainer.text.vocabulary import SPECIAL, UNKNOWN
from trainer.text.words import Split as Words
from trainer.text.words import Splitter, is_cjk

SIZES = {
    "pieces": 8000,
    "joined_pieces": 8000,
    "words": 20000,
    "characters": 8000,
    "code_points": 8000,
    "tokens": 20000,
}  # where none is given, by unit
# Likewise, how often an entry stands in the texts at least. Of words 2: were each of the training texts an entry, nothing of
# them would be unknown, and what stands for unknown words would never be trained.
MINIMA = {"pieces": 1, "joined_pieces": 1, "words": 2, "characters": 1, "code_points": 1, "tokens": 2}
CHUNK = 1024  # texts
UNLISTED = (*SPECIAL, "\r")  # may be written in a text as they are, but not in a vocab.txt
REPEATED = 1000  # words of a string that the trainer of pieces is given

Segment = Callable[[str], list[str]]  # a run of Chinese characters to words
Split = Callable[[tf.Tensor], Words]  # strings [B] to words
Word = tuple[str, int, int]  # normalised; its place in a text


@dataclass(frozen=True)
class Texts:
    """Texts that a vocabulary is made of, each with how often it is there.

    Args:
        texts: As they stand in the data.
        words: Given ones, as tagging has them: Chinese ones of several characters are words of a vocabulary.
    """

    texts: Mapping[str, int]
    words: Mapping[str, int]


def vocabulary(
    unit: str,
    texts: Texts,
    size: int,
    *,
    lower_case: bool = True,
    fallback: Fallback = "unk",
    minimum: int | None = None,
) -> list[str]:
    """Returns the vocabulary of texts, whose words are counted as `trainer.text.words.Splitter` has them; see `of_counts`."""
    words = count(texts, lower_case=lower_case, joined=unit == "words")
    return of_counts(unit, words, size, fallback=fallback, minimum=minimum)


def of_counts(
    unit: str,
    words: Mapping[str, int],
    size: int,
    *,
    fallback: Fallback = "unk",
    minimum: int | None = None,
    of_characters: int = 1,
) -> list[str]:
    """Returns the vocabulary of words: special tokens, then what stands there most often, ties by first appearance.

    Args:
        unit: Of `trainer.text.units.UNITS`.
        words: Normalised ones (code points and tokens: as they are written), and how often they stand in the texts.
        size: Entries at most, the special tokens included.
        fallback: With "characters", those of all words that are not Chinese follow, beyond `size`: so unknown words can be
            spelled.
        minimum: How often an entry stands there at least, of pieces two that are merged; by default see `MINIMA`.
        of_characters: Of pieces, how often a character stands there at least.
    """
    minimum = MINIMA[unit] if minimum is None else minimum
    if unit != "characters":
        words = {word: number for word, number in words.items() if len(word.encode()) <= LONGEST_ENTRY}
    if unit == "pieces":
        return pieces(words, size, minimum, of_characters)
    if unit == "joined_pieces":
        return joined_pieces.entries(pieces(words, size, minimum, of_characters), size)
    chosen = characters(words) if unit == "characters" else words
    chosen = {entry: number for entry, number in chosen.items() if number >= minimum and entry not in UNLISTED}
    entries = [*SPECIAL, *first(chosen, size - len(SPECIAL))]
    if fallback == "characters":
        spelled = characters({word: number for word, number in words.items() if not is_cjk(word)})
        entries = [*dict.fromkeys([*entries, *first(spelled, len(spelled))])]
    return entries


def are_chinese(texts: Texts) -> bool:
    """Says whether most letters of texts are CJK characters; of the first 1,000 texts."""
    letters = [letter for text in islice(texts.texts, 1000) for letter in text if letter.isalpha()]
    return sum(map(is_cjk, letters)) > len(letters) / 2


def first(counts: Mapping[str, int], number: int) -> list[str]:
    """Returns the most frequent entries, so many at most; ties in the order of the counts."""
    return sorted(counts, key=lambda entry: -counts[entry])[:number]


def count(texts: Texts, *, lower_case: bool = True, joined: bool = False) -> Counter[str]:
    """Returns how often each normalised word stands in texts and among given words, in the order of first appearance.

    Args:
        texts: Counted.
        lower_case: See `Tokenizer`.
        joined: Adjacent CJK characters of a given word are one word.
    """
    split = _words_of_strings(lower_case)
    counts = _count(split, texts.texts.items())
    for words, number in _words(split, texts.words.items()):
        for word, *_ in runs(words) if joined else words:
            counts[word] += number
    return counts


def count_lines(
    lines: Iterable[str], *, lower_case: bool = True, segment: Segment | None = None, splitter: Split | None = None
) -> Counter[str]:
    """Returns how often each normalised word stands in texts that are read once; only the different words are held.

    Args:
        lines: The texts.
        lower_case: See `Tokenizer`.
        splitter: Cuts them, instead of `trainer.text.words.Splitter`.
        segment: With it, the Chinese words of several characters that it finds are counted beside all characters, of which
            the others consist.
    """
    split = _traced(splitter) if splitter else _words_of_strings(lower_case)
    texts = ((line, 1) for line in lines)
    if not segment:
        return _count(split, texts)
    counts: Counter[str] = Counter()
    for words, _ in _words(split, texts):
        for word, *_ in words:
            counts[word] += 1
        for run, *_ in runs(words):
            if len(run) > 1 and is_cjk(run):
                counts.update(word for word in segment(run) if len(word) > 1)
    return counts


def number_of_words(counts: Mapping[str, int]) -> int:
    """Returns how many words the texts of `count_lines` have: a character within a word that was found is none."""
    longer = sum(number * len(word) for word, number in counts.items() if len(word) > 1 and is_cjk(word))
    return sum(counts.values()) - longer


@cache
def _words_of_strings(lower_case):
    """Returns `Splitter` as one graph, traced once."""
    return _traced(Splitter(lower_case=lower_case))


def _traced(splitter):
    return tf.function(splitter, input_signature=STRINGS, autograph=False)


def _chunks(texts: Iterable[tuple[str, int]]) -> Iterator[tuple[tf.Tensor, np.ndarray]]:
    """Yields strings [B], B at most `CHUNK`, and how often each is there."""
    chunk: list[tuple[str, int]] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == CHUNK:
            yield tf.constant([text for text, _ in chunk]), np.array([number for _, number in chunk])
            chunk = []
    if chunk:
        yield tf.constant([text for text, _ in chunk]), np.array([number for _, number in chunk])


def _count(split, texts):
    """Returns how often each word stands in texts (text, how often it is there)."""
    counts: Counter[bytes] = Counter()
    for strings, numbers in _chunks(texts):
        found = split(strings)
        of_words = np.repeat(numbers, np.diff(found.row_splits.numpy()))
        for word, number in zip(found.words.numpy().tolist(), of_words.tolist(), strict=True):
            counts[word] += number
    return Counter({word.decode(): number for word, number in counts.items()})


def _words(split, texts) -> Iterator[tuple[list[Word], int]]:
    """Yields, for each text (text, how often it is there): its words with their places, and how often the text is there."""
    for strings, numbers in _chunks(texts):
        found, *places, row_splits = (x.numpy().tolist() for x in split(strings))
        words = [*zip((word.decode() for word in found), *places, strict=True)]
        for (start, end), number in zip(pairwise(row_splits), numbers.tolist(), strict=True):
            yield words[start:end], number


def runs(words: Iterable[Word]) -> list[Word]:
    """Returns the words of a text, adjacent CJK characters joined."""
    joined: list[Word] = []
    chinese_before = False
    for word, start, end in words:
        chinese = is_cjk(word)
        if joined and chinese and chinese_before and start == joined[-1][2]:
            joined[-1] = (joined[-1][0] + word, joined[-1][1], end)
        else:
            joined.append((word, start, end))
        chinese_before = chinese
    return joined


def characters(words: Mapping[str, int]) -> Counter[str]:
    """Returns how often each character stands at the start of words, and, as `##x`, within them."""
    counts: Counter[str] = Counter()
    for word, number in words.items():
        for piece in _spelled(word):
            counts[piece] += number
    return counts


def _spelled(word):
    return [word[0], *(f"##{character}" for character in word[1:])]


def pieces(words: Mapping[str, int], size: int, minimum: int = 1, of_characters: int = 1) -> list[str]:
    """Returns a vocabulary of word pieces: special tokens, characters, the most frequent first, then the two pieces that most
    often stand side by side, merged, and so on, until there are `size` or none stand side by side `minimum` times; characters
    that stand there less than `of_characters` times are left out.

    Reference: Sennrich et al. 2016, byte-pair encoding, whose merges are pieces here that are matched longest first: the
    trainer of WordPiece vocabularies of Hugging Face's `tokenizers`.

    By itself that trainer numbers `##x` in the order of a hash table that is another in every run, and breaks ties by these
    numbers. So all characters are given to it as tokens, and no word that has others: the same words give the same pieces.
    """
    from tokenizers import Tokenizer as Trained
    from tokenizers import models, pre_tokenizers, trainers

    often = {entry: number for entry, number in characters(words).items() if number >= of_characters}
    words = {word: number for word, number in words.items() if often.keys() >= {*_spelled(word)}}
    alphabet = first(often, size - len(SPECIAL))
    if len(SPECIAL) + len(alphabet) == size:  # no room to merge
        return [*SPECIAL, *alphabet]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=minimum,
        limit_alphabet=max(len(alphabet), 1),
        special_tokens=[*SPECIAL, *alphabet],
        continuing_subword_prefix="##",
        show_progress=False,
    )
    tokenizer = Trained(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(_repeated(words), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)[:size]


def _repeated(words):
    """Yields words, each as often as it is there, with spaces between."""
    for word, number in words.items():
        for start in range(0, number, REPEATED):
            yield " ".join([word] * min(REPEATED, number - start))


def unknown_share(tokenizer: Tokenizer, texts: Iterable[tuple[str, int]]) -> tuple[int, float]:
    """Returns (how many tokens texts have, the share of them that the vocabulary does not have).

    A token is a piece; of words it is a word, unknown even if it is spelled or hashed.

    Args:
        tokenizer: Whose vocabulary, unit and case are looked at.
        texts: Each with how often it is there.
    """
    tokenizer = type(tokenizer)(tokenizer.vocabulary, lower_case=tokenizer.lower_case)
    number = unknown = 0
    for strings, numbers in _chunks(texts):
        ids = tokenizer.traced_ids(strings)
        times = numbers[ids.value_rowids().numpy()]
        number += int(times.sum())
        unknown += int(times[ids.flat_values.numpy() == tokenizer.unknown].sum())
    return number, unknown / max(number, 1)

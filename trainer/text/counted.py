"""Vocabularies made of texts: words and characters by how often they stand there, word pieces by merging what stands together."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import tensorflow as tf

from trainer.text.tokenizer import LONGEST_ENTRY, STRINGS, Fallback, Tokenizer
from trainer.text.vocabulary import SPECIAL
from trainer.text.words import Splitter, is_cjk

SIZES = {"pieces": 8000, "words": 20000, "characters": 8000}  # where none is given, by unit
CHUNK = 1024  # texts


@dataclass(frozen=True)
class Texts:
    """Texts that a vocabulary is made of, each with how often it is there.

    Args:
        texts: As they stand in the data.
        words: Given ones, as tagging has them: Chinese ones of several characters are words of a vocabulary.
    """

    texts: Mapping[str, int]
    words: Mapping[str, int]


def vocabulary(unit: str, texts: Texts, size: int, *, lower_case: bool = True, fallback: Fallback = "unk") -> list[str]:
    """Returns the vocabulary of texts: special tokens, then what stands there most often, ties by first appearance.

    Args:
        unit: Of `trainer.text.units.UNITS`.
        texts: Whose words are counted as `trainer.text.words.Splitter` has them.
        size: Entries at most, the special tokens included.
        lower_case: See `Tokenizer`.
        fallback: With "characters", those of all words that are not Chinese follow, beyond `size`: so unknown words can be
            spelled.
    """
    words = count(texts, lower_case=lower_case, joined=unit == "words")
    if unit != "characters":
        words = Counter({word: number for word, number in words.items() if len(word.encode()) <= LONGEST_ENTRY})
    if unit == "pieces":
        return [*SPECIAL, *pieces(words, size - len(SPECIAL))]
    chosen = words if unit == "words" else characters(words)
    entries = [*SPECIAL, *first(chosen, size - len(SPECIAL))]
    if fallback == "characters":
        spelled = characters(Counter({word: number for word, number in words.items() if not is_cjk(word)}))
        entries = [*dict.fromkeys([*entries, *first(spelled, len(spelled))])]
    return entries


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
    split = tf.function(Splitter(lower_case=lower_case), input_signature=STRINGS, autograph=False)
    counts: Counter[str] = Counter()
    for words, number in _words(split, texts.texts):
        for word, *_ in words:
            counts[word] += number
    for words, number in _words(split, texts.words):
        for word in _joined(words) if joined else [word for word, *_ in words]:
            counts[word] += number
    return counts


def _words(split, texts) -> Iterator[tuple[list[tuple[str, int, int]], int]]:
    """Yields, for each text: its words with their places, and how often the text is there."""
    strings, numbers = [*texts], [*texts.values()]
    for i in range(0, len(strings), CHUNK):
        *columns, rows = (column.numpy() for column in split(tf.constant(strings[i : i + CHUNK])))
        words = [
            *zip((word.decode() for word in columns[0]), *(column.tolist() for column in columns[1:]), strict=True)
        ]
        before = rows.searchsorted(range(min(CHUNK, len(strings) - i) + 1))
        for (start, end), number in zip(pairwise(before.tolist()), numbers[i : i + CHUNK], strict=True):
            yield words[start:end], number


def _joined(words):
    """Returns the words of a text, adjacent CJK characters joined."""
    joined: list[str] = []
    end_before = None
    for word, start, end in words:
        if joined and start == end_before and is_cjk(word) and is_cjk(joined[-1]):
            joined[-1] += word
        else:
            joined.append(word)
        end_before = end
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


def pieces(words: Mapping[str, int], size: int) -> list[str]:
    """Returns word pieces: characters, the most frequent first, then the two pieces that most often stand side by side, merged,
    and so on, until there are `size` or none stand side by side twice; ties in alphabetical order.

    Reference: Sennrich et al. 2016, byte-pair encoding, whose merges are pieces here that are matched longest first, as
    Hugging Face's trainer of WordPiece vocabularies does it.
    """
    alphabet = first(characters(words), size)
    spelled = [_spelled(word) for word in words]
    numbers = [*words.values()]
    counts: Counter[tuple[str, str]] = Counter()  # of pairs
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)  # the words that have, or had, a pair
    for i, word in enumerate(spelled):
        for pair in pairwise(word):
            counts[pair] += numbers[i]
            places[pair].add(i)
    found = dict.fromkeys(alphabet)
    queue = [(-number, pair) for pair, number in counts.items() if number > 1]
    heapq.heapify(queue)
    while queue and len(found) < size:
        number, pair = heapq.heappop(queue)
        if counts[pair] != -number:  # a later entry, or none, has what it is now
            continue
        merged = pair[0] + pair[1].removeprefix("##")
        if pair[0] in found and pair[1] in found:
            found[merged] = None
        changed = set()
        for i in sorted(places.pop(pair)):
            before, after = spelled[i], _merge(spelled[i], pair, merged)
            if len(before) == len(after):
                continue
            for old in pairwise(before):
                counts[old] -= numbers[i]
                changed.add(old)
            for new in pairwise(after):
                counts[new] += numbers[i]
                places[new].add(i)
                changed.add(new)
            spelled[i] = after
        for other in changed:
            if counts[other] > 1:
                heapq.heappush(queue, (-counts[other], other))
    return [*found]


def _merge(word, pair, merged):
    """Returns the pieces of a word with every such pair merged, from the left."""
    pieces: list[str] = []
    i = 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            pieces.append(merged)
            i += 2
        else:
            pieces.append(word[i])
            i += 1
    return pieces


def unknown_share(tokenizer: Tokenizer, texts: Iterable[str]) -> tuple[int, float]:
    """Returns (how many tokens texts have, the share of them that the vocabulary does not have).

    A token is a piece; of words it is a word, unknown even if it is spelled or hashed.
    """
    tokenizer = type(tokenizer)(tokenizer.vocabulary, lower_case=tokenizer.lower_case)
    strings, number, unknown = [*texts], 0, 0
    for i in range(0, len(strings), CHUNK):
        ids = tokenizer.traced_ids(tf.constant(strings[i : i + CHUNK])).flat_values.numpy()
        number, unknown = number + len(ids), unknown + int((ids == tokenizer.unknown).sum())
    return number, unknown / max(number, 1)

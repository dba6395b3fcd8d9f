"""Words and their tags as one label for each token of the text: segmentation and tagging are one classification.

A treebank's words are not the tokenizer's: `don't` is `do` and `n't`, but the tokens `don`, `'`, `t`; `U.S.` is one word of
four tokens; in Chinese a token is a character, and a word several. So a label says which words begin in its token:

    NOUN            one, at the token's start
    _               none: the token goes on with the word before it
    AUX PART@-1     two, the second one code point before the token's end   (`don`)
    _ NOUN@-2       one, two code points before the end

The labels of a run are those that its training data has. Imports no framework.
"""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from trainer import metrics
from trainer.data.schema import Row
from trainer.errors import Mistake

INSIDE = "_"
BIO = "BIO"  # a scheme: `I-X` stands behind `B-X` or another `I-X` only
REGULAR = 0.99  # share of the `I-` of data by which that is so: annotators err

Begun = tuple[int, str]  # a word that begins in a token: its place before the token's end, or 0 for its start; its tag


def labels_of_tokens(starts: list[int], ends: list[int], row: Row) -> list[str]:
    """Returns the label of each token of a row.

    Args:
        starts, ends: Where the tokens are in the row's text, in code points, in order.
        row: With `spans` and `tags`, see `trainer.data.conll`; words that share a span are one word here, tagged `ADP+DET`.
    """
    words: list[list[Begun]] = [[] for _ in starts]
    i = 0
    for start, end, tag in _words(row):
        while i < len(ends) and ends[i] <= start:
            i += 1
        if i < len(ends) and starts[i] < end:  # else nothing of the word is left: all of it was control characters
            words[i].append((start - ends[i] if start > starts[i] else 0, tag))
    return [label_of(begun) for begun in words]


def _words(row):
    words: list[tuple[int, int, str]] = []
    for (start, end), tag in zip(row["spans"], row["tags"], strict=True):
        if words and words[-1][:2] == (start, end):
            words[-1] = (start, end, f"{words[-1][2]}+{tag}")
        else:
            words.append((start, end, tag))
    return words


def label_of(words: list[Begun]) -> str:
    """Returns the label of a token in which these words begin.

    Example:
        >>> label_of([(0, "AUX"), (-1, "PART")]), label_of([])
        ('AUX PART@-1', '_')
    """
    first = words[0][1] if words and words[0][0] == 0 else INSIDE
    return " ".join([first, *(f"{tag}@{place}" for place, tag in words if place)])


def words_of(label: str) -> list[Begun]:
    """The way back from `label_of`.

    Example:
        >>> words_of("_ NOUN@-2")
        [(-2, 'NOUN')]
    """
    first, *rest = label.split(" ")
    words = [] if first == INSIDE else [(0, first)]
    for word in rest:
        tag, _, place = word.rpartition("@")
        words.append((int(place), tag))
    return words


def inventory(labels: list[str], tags: set[str], path: str | Path | None) -> list[str]:
    """Returns the labels to learn: the tags, in alphabetical order, then what else stands twice or more in the data.

    Args:
        labels: Of all tokens of the training data.
        tags: All tags of its words.

    Raises:
        Mistake: There are fewer than two tags, or one that cannot be told from a label of several words.
    """
    plain = sorted(tags)
    wrong = [tag for tag in plain if tag == INSIDE or " " in tag]
    if len(plain) < 2 or wrong:
        raise Mistake(f"{path}: expected two or more tags, none of them {INSIDE!r}, found {', '.join(plain)}")
    counts = Counter(labels)
    return [*plain, INSIDE, *sorted(label for label in counts if counts[label] > 1 and label not in (*plain, INSIDE))]


def known(label: str, inventory: Container[str]) -> str:
    """Returns the label, or what comes nearest to it in the inventory: what begins at the token's start, of `ADP+DET` the first."""
    first = label.split(" ")[0]
    return next((name for name in (label, first, first.split("+")[0]) if name in inventory), INSIDE)


def scheme_of(rows: Iterable[Sequence[str]]) -> str | None:
    """Returns the scheme that the tags of rows keep to, if they have one.

    Data whose `I-` begin spans, as the first form of CoNLL 2003 has them, have none.
    """
    rows = list(rows)
    if not metrics.are_bio([tag for tags in rows for tag in tags]):
        return None
    pairs = [pair for tags in rows for pair in zip(["O", *tags], tags, strict=False) if pair[1].startswith("I-")]
    regular = sum(_kind_of(before) == _kind_of(tag) for before, tag in pairs)
    return BIO if regular >= REGULAR * len(pairs) else None


def _kind_of(tag):
    """Returns the kind of the span that a tag is in; "" where it is in none."""
    return tag.partition("-")[2]


class States(NamedTuple):
    """What labels of neighbours may be: the states of an automaton that reads them.

    A label has one state, but a token in which no word begins goes on with a span that began before it, or with none: it has
    one for each kind.
    """

    labels: list[int]  # the number of each state's label [S]
    follows: list[list[bool]]  # whether a state (second) may stand behind another (first) [S, S]
    begins: list[bool]  # whether it may be the first [S]


def states(labels: Sequence[str], scheme: str | None) -> States:
    """Returns the states of labels, as a scheme allows them; without one each label is a state, and all is allowed.

    Example:
        >>> states(["B-X", "I-X", "O"], BIO).follows
        [[True, True, True], [True, True, True], [True, False, True]]
    """
    if not scheme:
        everything = [True] * len(labels)
        return States([*range(len(labels))], [everything] * len(labels), everything)
    tags = [[tag for _, tag in words_of(label)] for label in labels]
    kinds = sorted({_kind_of(tag) for tags_of_label in tags for tag in tags_of_label} | {""})
    # Label; the kind that the span before it must be of, None: any; the kind of the span that it leaves open
    found: list[tuple[int, str | None, str]] = []
    for number, begun in enumerate(tags):
        if begun:
            found.append((number, _kind_of(begun[0]) if begun[0].startswith("I-") else None, _kind_of(begun[-1])))
        else:
            found += [(number, kind, kind) for kind in kinds]
    follows = [[needed in (None, left) for _, needed, _ in found] for _, _, left in found]
    return States([number for number, _, _ in found], follows, [not needed for _, needed, _ in found])

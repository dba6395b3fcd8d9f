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

from trainer.errors import Mistake

INSIDE = "_"


def labels_of_tokens(starts, ends, row):
    """Returns the label of each token of a row.

    Args:
        starts, ends: Where the tokens are in the row's text, in code points, in order.
        row: With `spans` and `tags`, see `trainer.data.conll`; words that share a span are one word here, tagged `ADP+DET`.
    """
    parts = [[] for _ in starts]  # [place before the end of the token, or 0 for its start; tag]
    i = 0
    for start, end, tag in _words(row):
        while i < len(ends) and ends[i] <= start:
            i += 1
        if i < len(ends) and starts[i] < end:  # else nothing of the word is left: all of it was control characters
            parts[i].append((start - ends[i] if start > starts[i] else 0, tag))
    return [label_of(part) for part in parts]


def _words(row):
    words = []
    for (start, end), tag in zip(row["spans"], row["tags"], strict=True):
        if words and words[-1][:2] == (start, end):
            words[-1] = (start, end, f"{words[-1][2]}+{tag}")
        else:
            words.append((start, end, tag))
    return words


def label_of(parts):
    """Returns the label of a token in which words begin as `parts`, (place, tag) each, say."""
    first = parts[0][1] if parts and parts[0][0] == 0 else INSIDE
    return " ".join([first, *(f"{tag}@{place}" for place, tag in parts if place)])


def parts_of(label):
    """Returns the (place, tag) of every word that begins in a token of this label: 0 at its start, -1 before its last."""
    first, *others = label.split(" ")
    parts = [] if first == INSIDE else [(0, first)]
    for other in others:
        tag, _, place = other.rpartition("@")
        parts.append((int(place), tag))
    return parts


def inventory(labels, tags, path):
    """Returns the labels to learn: the tags, by the alphabet, then what else stands twice or more in the data.

    Args:
        labels: Of all tokens of the training data.
        tags: All tags of its words.

    Raises:
        Mistake: There are fewer than two tags, or one that cannot be told from a label of several words.
    """
    tags = sorted(set(tags))
    wrong = [tag for tag in tags if tag == INSIDE or " " in tag]
    if len(tags) < 2 or wrong:
        raise Mistake(f"{path}: expected two or more tags, none of them {INSIDE!r}, found {', '.join(tags)}")
    counts = Counter(labels)
    return [*tags, INSIDE, *sorted(label for label in counts if counts[label] > 1 and label not in (*tags, INSIDE))]


def known(label, inventory):
    """Returns the label, or what comes nearest to it in the inventory: what begins at the token's start, of `ADP+DET` the first."""
    first = label.split(" ")[0]
    return next((one for one in (label, first, first.split("+")[0]) if one in inventory), INSIDE)

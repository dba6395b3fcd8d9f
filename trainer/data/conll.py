"""Treebank files to rows, and back: CoNLL-U, and columns as of the CoNLL shared tasks. Imports no framework.

CoNLL-U: https://universaldependencies.org/format.html. A multiword token (a line `3-4`) is what the text has, the words 3 and
4 are what is tagged; empty nodes (`5.1`) are in no text and are skipped.

A row is {"words", "tags", "text", "spans"}: `text` is rebuilt from the words and their SpaceAfter=No, and `spans` holds the
[start, end] of every word in it, in code points. Where a multiword token is not its words joined (French `du` is `de`, `le`),
all of its words have its span.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from trainer.data.schema import Row
from trainer.data.source import AnyPath
from trainer.errors import Mistake

COLUMNS = {"upos": 3, "xpos": 4}  # of CoNLL-U, from 0
FORM, HEAD, MISC, WIDTH = 1, 6, 9, 10
WORD, MULTIWORD, EMPTY_NODE = re.compile(r"\d+"), re.compile(r"(\d+)-(\d+)"), re.compile(r"\d+\.\d+")
WHITE = re.compile(r"\s*")
CJK = re.compile(
    "[\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


class _Sentence(NamedTuple):
    words: list[str]
    tags: list[str]
    tokens: list[tuple[str, int]]  # (form in the text, number of words that it stands for)
    spaces: list[str]  # SpaceAfter of each token, or ""


def sentences(
    lines: Iterable[tuple[int, str]], path: AnyPath, column: str | int | None = None, *, tagged: bool = True
) -> Iterator[Row]:
    """Yields the row of each sentence.

    Args:
        lines: (line number, line) of every line of the file; an empty line ends a sentence.
        path: For messages; a file that ends in .conllu must be CoNLL-U, the first line of any other file shows its form.
        column: Of the tags: `upos` (default) or `xpos` of CoNLL-U; in other files the number of a column, from 1 (default:
            the last).
        tagged: Read the tags; otherwise the words alone, and tags may be missing.

    Raises:
        Mistake: A malformed line; names file and line, what was found and what was expected.
    """
    blocks = list(_blocks(lines))
    first = next((line for block in blocks for _, line in block if not line.startswith("#")), "")
    universal = str(path).removesuffix(".gz").endswith(".conllu") or (
        first.count("\t") == WIDTH - 1 and first[0].isdecimal()
    )
    if (universal and column not in (None, *COLUMNS)) or (not universal and column in COLUMNS):
        kind = "CoNLL-U: upos or xpos" if universal else "columns, not CoNLL-U: a column's number"
        raise Mistake(f"--column: expected, of {path} ({kind}), received {column}")
    if universal:
        parsed = [_universal(block, path, column or "upos", tagged) for block in blocks]
    else:
        width = len(_cells(first))
        parsed = [_columns(block, path, column, width, tagged) for block in blocks]
    parsed = [sentence for sentence in parsed if sentence.words]
    spaces_are_marked = any("No" in sentence.spaces for sentence in parsed)
    for words, tags, tokens, spaces in parsed:
        gaps = [space != "No" for space in spaces] if spaces_are_marked else _gaps([form for form, _ in tokens])
        yield _row(words, tags, tokens, gaps)


def row_of(words: list[str], tags: list[str], text: str | None = None) -> Row:
    """Returns the row of given words.

    Args:
        words: Of a sentence.
        tags: One for each word.
        text: Of the sentence; None: the words, joined by spaces where their script has them.

    Raises:
        ValueError: `text` is not these words, in this order, with white space between.
    """
    if text is None:
        return _row(words, tags, [(word, 1) for word in words], _gaps(words))
    spans, end = [], 0
    for word in words:
        start = WHITE.match(text, end).end()  # type: ignore[union-attr]  # always matches
        if not text.startswith(word, start):
            raise ValueError(f"expected the text to go on with the word {word!r}, found {text[start : start + 20]!r}")
        spans.append([start, end := start + len(word)])
    if text[end:].strip():
        raise ValueError(f"expected the text to end with the last word, found {text[end:][:20]!r}")
    return {"words": words, "tags": tags, "text": text, "spans": spans}


def _blocks(lines):
    block = []
    for number, line in [*lines, (0, "")]:
        if line.strip():
            block.append((number, line))
        elif block:
            yield block
            block = []


def _universal(block, path, column, tagged):
    """Returns the sentence of a block of CoNLL-U."""
    words, tags, tokens, spaces = sentence = _Sentence([], [], [], [])
    until = 0  # number of the last word of the latest multiword token
    for number, line in block:
        if line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != WIDTH:
            raise Mistake(f"{path}:{number}: expected {WIDTH} columns of CoNLL-U, found {len(cells)}")
        if EMPTY_NODE.fullmatch(cells[0]):
            continue
        space = next((entry[11:] for entry in cells[MISC].split("|") if entry.startswith("SpaceAfter=")), "")
        multiword = MULTIWORD.fullmatch(cells[0])
        if multiword:
            start, until = int(multiword[1]), int(multiword[2])
            if start != len(words) + 1 or until < start or sum(count for _, count in tokens) > len(words):
                raise Mistake(f"{path}:{number}: expected word {len(words) + 1} or a range from it, found {cells[0]}")
            tokens.append((cells[FORM].strip(), until - start + 1))
            spaces.append(space)
            continue
        if not WORD.fullmatch(cells[0]) or int(cells[0]) != len(words) + 1:
            raise Mistake(f"{path}:{number}: expected word {len(words) + 1}, found {cells[0]!r}")
        tag = cells[COLUMNS[column]]
        form = cells[FORM].strip()
        if not form or (tagged and (tag == "_" or not tag or " " in tag)):
            raise Mistake(f"{path}:{number}: expected a word and its {column}, found {cells[FORM]!r} and {tag!r}")
        words.append(form)
        tags.append(tag)
        if len(words) > until:
            tokens.append((form, 1))
            spaces.append(space)
    if until > len(words):
        raise Mistake(f"{path}:{block[-1][0]}: expected words up to {until}, as a range says, found {len(words)}")
    return sentence


def _cells(line):
    """Returns the columns of a line: separated by tabs if it has any, otherwise by spaces, by no other white space."""
    return [cell.strip() for cell in line.split("\t")] if "\t" in line else re.split(" +", line.strip(" "))


def _columns(block, path, column, width, tagged):
    """Returns the sentence of a block of columns."""
    words, tags = [], []
    for number, line in block:
        cells = _cells(line)
        if cells[0] == "-DOCSTART-":
            continue
        index = len(cells) - 1 if column is None else int(column) - 1
        if len(cells) != width or not cells[0] or (tagged and not (1 <= index < len(cells) and cells[index])):
            expected = "a word and its tag in columns" if column is None else f"a word, and its tag in column {column}"
            expected = expected if len(cells) == width else f"{width} columns, as in the first line"
            raise Mistake(f"{path}:{number}: expected {expected}, found {line[:60]!r}")
        words.append(cells[0])
        tags.append(cells[index].replace(" ", "_") if tagged else "")
    return _Sentence(words, tags, [(word, 1) for word in words], [""] * len(words))


def _gaps(forms):
    """Says after which of the forms a space stands, by script: Chinese has spaces between foreign words only."""
    if not any(CJK.search(form) for form in forms):
        return [True] * len(forms)
    foreign = lambda character: character.isalnum() and not CJK.match(character)
    return [foreign(left[-1]) and foreign(right[0]) for left, right in pairwise(forms)] + [False]


def _row(words, tags, tokens, gaps):
    text, spans, remaining = "", [], iter(words)
    for (form, count), gap in zip(tokens, gaps, strict=True):
        members = [next(remaining) for _ in range(count)]
        start = len(text)
        text += form + " " * gap
        if "".join(members) == form:
            for word in members:
                spans.append([start, start := start + len(word)])
        else:
            spans += [[start, start + len(form)]] * count
    return {"words": words, "tags": tags, "text": text.rstrip(" "), "spans": spans}


def covering(text: str, words: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Widens the words of a text so that every character but white space is in one, as official scorers require.

    Characters in no word, control characters, go to the word before, at the start to the first.

    Args:
        text: Of a sentence.
        words: (start, end, tag) of each, in order, in code points.

    Returns:
        The words likewise; a single word tagged `X` where there are none.
    """
    words = words or [(0, len(text), "X")]
    starts = [len(text) - len(text.lstrip()), *(start for start, _, _ in words[1:]), len(text)]
    return [
        (start, start + len(text[start:after].rstrip()), tag)
        for start, after, (_, _, tag) in zip(starts, starts[1:], words, strict=False)
    ]


def to_universal(text: str, words: Sequence[tuple[int, int, str]], column: str | int | None = None) -> str:
    """Returns a sentence in CoNLL-U.

    Scorers refuse a sentence that is not a tree, so all words depend on the first one, which means nothing.

    Args:
        text: Of the sentence.
        words: (start, end, tag) of each token, in order, in code points.
        column: Where the tags go: `xpos`; anything else means `upos`.
    """
    words = covering(text, words)
    lines = [f"# text = {' '.join(text.split())}"]
    for number, (start, end, tag) in enumerate(words, 1):
        joined = number < len(words) and words[number][0] == end
        cells = [str(number), " ".join(text[start:end].split()) or "_", *"_" * (WIDTH - 2)]
        cells[COLUMNS["xpos" if column == "xpos" else "upos"]] = tag
        cells[HEAD], cells[HEAD + 1] = ("0", "root") if number == 1 else ("1", "dep")
        cells[MISC] = "SpaceAfter=No" if joined else "_"
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n\n"


FULL_WIDTH = str.maketrans(",.?!:;()", "，。？！：；（）")


def full_width(row: Row) -> Row | None:
    """Returns a Chinese row with the full-width punctuation that people type; None if nothing changes.

    Only words that are a single mark change, each to a single mark, so no word moves. Double quotes open and close in turn.
    """
    if not CJK.search(row["text"]):
        return None
    text, words, quotes = list(row["text"]), list(row["words"]), 0
    for i, (word, (start, end)) in enumerate(zip(words, row["spans"], strict=True)):
        if len(word) == 1 == end - start:
            mark = "“”"[quotes % 2] if word == '"' else word.translate(FULL_WIDTH)
            quotes += word == '"'
            words[i] = text[start] = mark
    return row | {"words": words, "text": "".join(text)} if words != row["words"] else None

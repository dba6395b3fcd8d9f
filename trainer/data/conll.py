"""Treebank files to rows, and back: CoNLL-U, and columns as of the CoNLL shared tasks. Imports no framework.

CoNLL-U: https://universaldependencies.org/format.html. A multiword token (a line `3-4`) is what stands in the text, the
words 3 and 4 are what is tagged; empty nodes (`5.1`) stand in no text and are passed over.

A row is {"words", "tags", "text", "spans"}: `text` is rebuilt from the words and their SpaceAfter=No, and `spans` holds the
[start, end] of every word in it, in code points. Where a multiword token is not its words put together (French `du` is `de`,
`le`), all of its words have its span.
"""

import re
from itertools import pairwise

from trainer.errors import Mistake

COLUMNS = {"upos": 3, "xpos": 4}  # of CoNLL-U, from 0
FORM, HEAD, MISC, WIDTH = 1, 6, 9, 10
WORD, MULTIWORD, EMPTY_NODE = re.compile(r"\d+"), re.compile(r"(\d+)-(\d+)"), re.compile(r"\d+\.\d+")
WHITE = re.compile(r"\s*")
CJK = re.compile(
    "[\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


def sentences(lines, path, column=None, *, tagged=True):
    """Yields the row of each sentence.

    Args:
        lines: (number, line) of every line of the file; an empty one ends a sentence.
        path: For messages; what ends in .conllu must be CoNLL-U, other files show by their first line what they are.
        column: Where the tags stand: `upos` (default) or `xpos` of CoNLL-U; else the number of a column, from 1 (default:
            the last).
        tagged: Read the tags; else the words alone, and there need not be any tags.

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
    parsed = [sentence for sentence in parsed if sentence]
    spaces_are_marked = any("No" in spaces for _, _, _, spaces in parsed)
    for words, tags, tokens, spaces in parsed:
        gaps = [space != "No" for space in spaces] if spaces_are_marked else _gaps([form for form, _ in tokens])
        yield _row(words, tags, tokens, gaps)


def row_of(words, tags, text=None):
    """Returns the row of given words; without their text, one is made: no spaces in what is written without.

    Raises:
        ValueError: `text` is not these words, in this order, with white space between.
    """
    tokens = [(word, 1) for word in words]
    if text is None:
        return _row(words, tags, tokens, _gaps(words))
    spans, place = [], 0
    for word in words:
        start = WHITE.match(text, place).end()
        if not text.startswith(word, start):
            raise ValueError(f"expected the text to go on with the word {word!r}, found {text[start : start + 20]!r}")
        spans.append([start, place := start + len(word)])
    if text[place:].strip():
        raise ValueError(f"expected the text to end with the last word, found {text[place:][:20]!r}")
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
    """Returns (words, tags, tokens as [form, number of words], SpaceAfter of each token or "")."""
    words, tags, tokens, spaces, until = [], [], [], [], 0
    for number, line in block:
        if line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != WIDTH:
            raise Mistake(f"{path}:{number}: expected {WIDTH} columns of CoNLL-U, found {len(cells)}")
        if EMPTY_NODE.fullmatch(cells[0]):
            continue
        space = next((entry[11:] for entry in cells[MISC].split("|") if entry.startswith("SpaceAfter=")), "")
        many = MULTIWORD.fullmatch(cells[0])
        if many:
            start, until = int(many[1]), int(many[2])
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
    return (words, tags, tokens, spaces) if words else None


def _cells(line):
    """Returns the columns of a line: separated by tabs, if it has any, else by spaces; no other white space separates."""
    return [cell.strip() for cell in line.split("\t")] if "\t" in line else re.split(" +", line.strip(" "))


def _columns(block, path, column, width, tagged):
    words, tags = [], []
    for number, line in block:
        cells = _cells(line)
        if cells[0] == "-DOCSTART-":
            continue
        place = len(cells) - 1 if column is None else int(column) - 1
        if len(cells) != width or not cells[0] or (tagged and not (1 <= place < len(cells) and cells[place])):
            expected = "a word and its tag in columns" if column is None else f"a word, and its tag in column {column}"
            expected = expected if len(cells) == width else f"{width} columns, as in the first line"
            raise Mistake(f"{path}:{number}: expected {expected}, found {line[:60]!r}")
        words.append(cells[0])
        tags.append(cells[place].replace(" ", "_") if tagged else "")
    return (words, tags, [(word, 1) for word in words], [""] * len(words)) if words else None


def _gaps(forms):
    """Says after which of the forms a space stands, by script: Chinese has none but between two foreign words."""
    if not any(CJK.search(form) for form in forms):
        return [True] * len(forms)
    foreign = lambda character: character.isalnum() and not CJK.match(character)
    return [foreign(a[-1]) and foreign(b[0]) for a, b in pairwise(forms)] + [False]


def _row(words, tags, tokens, gaps):
    text, spans, rest = "", [], iter(words)
    for (form, number), gap in zip(tokens, gaps, strict=True):
        own = [next(rest) for _ in range(number)]
        start = len(text)
        text += form + " " * gap
        if "".join(own) == form:
            for word in own:
                spans.append([start, start := start + len(word)])
        else:
            spans += [[start, start + len(form)]] * number
    return {"words": words, "tags": tags, "text": text.rstrip(" "), "spans": spans}


def covering(text, words):
    """Returns (start, end, tag) of words of a text, widened so that every character that is no white space is in one.

    Official scorers want it so; what lies in none, control characters, goes to the word before, at the start to the first.
    """
    words = words or [(0, len(text), "X")]
    starts = [len(text) - len(text.lstrip()), *(start for start, _, _ in words[1:]), len(text)]
    return [
        (start, start + len(text[start:after].rstrip()), tag)
        for start, after, (_, _, tag) in zip(starts, starts[1:], words, strict=False)
    ]


def to_universal(text, words, column=None):
    """Returns a sentence in CoNLL-U: `words` as (start, end, tag), in order, each a token of `text`.

    Scorers refuse a sentence that is no tree: all words hang on the first one, which says nothing.
    """
    words = covering(text, words)
    lines = [f"# text = {' '.join(text.split())}"]
    for number, (start, end, tag) in enumerate(words, 1):
        joined = number < len(words) and words[number][0] == end
        cells = [str(number), " ".join(text[start:end].split()) or "_", *"_" * (WIDTH - 2)]
        cells[COLUMNS.get(column, COLUMNS["upos"])] = tag
        cells[HEAD], cells[HEAD + 1] = ("0", "root") if number == 1 else ("1", "dep")
        cells[MISC] = "SpaceAfter=No" if joined else "_"
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n\n"


FULL_WIDTH = str.maketrans(",.?!:;()", "，。？！：；（）")


def full_width(row):
    """Returns a Chinese row with the full-width punctuation that people type; None if nothing changes.

    Only words that are one mark are changed, each to one mark: no word moves. Double quotes open and close in turn.
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

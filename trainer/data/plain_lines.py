"""Lines without column names to records: a text a line, with a label before it or without. Imports no framework.

Where lines could be either, nothing is guessed: `--lines labelled` or `--lines texts` says it.
"""

import re
from collections.abc import Iterator, Sequence

from trainer.data.labels import ANY, SEPARATOR
from trainer.data.schema import Schema
from trainer.data.source import AnyPath, Lines
from trainer.data.table import Record, Table
from trainer.errors import Mistake, short
from trainer.tasks.table import Task

LABELLED, TEXTS = "labelled", "texts"  # what `--lines` says
# What begins every line only if it is a label; the last is fastText's
SURE_LABEL = re.compile(r"[+-]?\d+|[+-]|__label__.+")


def texts(path: AnyPath, lines: Lines, field: str) -> Table:
    """Returns a record of one field for each line."""
    return Table((Record(f"{path}:{number}", {field: line}) for number, line in lines), one_line=True, named=False)


def labelled(path: AnyPath, lines: Lines, schema: Schema, target: str) -> Table:
    """Returns a record of a label and a text for each line `label text`.

    Raises:
        Mistake: While the records are read: a line of another form.
    """
    return Table(_labelled_records(path, lines, schema, target), one_line=True, named=False)


def _labelled_records(path: AnyPath, lines: Lines, schema: Schema, target: str) -> Iterator[Record]:
    field = schema.single
    for number, line in lines:
        label, separator, text = line.partition(" ")
        if not field or not separator or not text.strip() or "\t" in label:
            form = "`label sentence` (or JSON lines" if field else "columns by name (or JSON lines"
            raise Mistake(
                f"{path}:{number}: expected {form} in a .jsonl file, or a first line with"
                f" tab-separated columns {schema.expected}), found {short(line)}"
            )
        yield Record(f"{path}:{number}", {target: label, field: text})


def check(path: AnyPath, lines: Lines, schema: Schema, task: Task, labels: Sequence[str] | None) -> None:
    """Refuses lines of which it is not certain whether they begin with a label.

    Args:
        path: For messages.
        lines: (line number, line) of every line of the file.
        schema: The fields that are asked for.
        task: Its labels are those that lines may begin with.
        labels: See `files.read`.
    """
    tabs = {line.count("\t") for _, line in lines}
    if len(tabs) == 1 and tabs != {0}:
        alternative = "" if schema.target else "; or --lines texts, if the tabs are part of the texts"
        raise Mistake(
            f"{path}:1: expected the names of its {tabs.pop() + 1} tab-separated columns in the first line "
            f"({schema.expected}), found {short(lines[0][1])}; --text_column and its kin give other names, or numbers{alternative}"
        )
    if len(schema.inputs[-1]) > 1 or task.target not in ("label", "labels"):
        return
    if schema.target and labels == ANY:
        _check_labels(path, lines)
    elif not schema.target and lines:
        _check_texts(path, lines, task.labels or ())


def _check_labels(path, lines):
    for number, line in lines:
        if not all(SURE_LABEL.fullmatch(name) for name in _first_word(line).split(SEPARATOR)):
            raise Mistake(
                f"{path}:{number}: expected a label before the text, by a name that --labels gives, or by its number, found "
                f"{short(line)}; --lines labelled takes the first word of every line as its label"
            )


def _check_texts(path, lines, labels):
    names = {*labels, *map(str, range(len(labels)))}
    words = (_first_word(line) for _, line in lines)
    if all(word in names if names else SURE_LABEL.fullmatch(word) for word in words):
        raise Mistake(
            f"{path}: expected texts, found a label before every one, such as {short(lines[0][1])}; "
            "--lines labelled drops the labels, --lines texts takes all as text"
        )


def _first_word(line):
    """Returns what stands before the first space; nothing where there is none, as no text would follow."""
    return line.split(" ", 1)[0] if " " in line else ""

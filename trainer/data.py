"""Files to rows: a row is a dict of the task's fields and its gold value, as strings. Imports no framework.

Three forms are read, told apart by the file itself:
    JSON lines            {"text": "a fine film", "label": "positive"}       (the name ends in .jsonl or .json)
    tab-separated, GLUE   first line `sentence<TAB>label`, columns by name   (the first line names them)
    lines                 `1 a fine film`, or `a fine film` where no labels are asked for   (anything else)
"""

import json
from pathlib import Path

from trainer import Mistake

COLUMNS = {"text": ("text", "sentence", "text_a"), "label": ("label",)}  # our field -> names that files use
ANY = ()  # labels are what the file says


def read(path, task, labels=None, *, limit=None):
    """Reads and checks a file, up to its end or `limit`; nothing is trained on one that has a malformed line.

    Args:
        path: The file, UTF-8.
        task: A `Task`.
        labels: Known label names; a row's label must be one of them, or the number of one. `ANY`: whatever it says. None:
            texts alone.
        limit: Read so many rows only.

    Returns:
        A list of dicts: the task's fields and, unless `labels` is None, its target as a label name.

    Raises:
        Mistake: No such file, no rows, or a malformed line; names file, line number, what was found and expected.
    """
    wanted = (*task.fields, *(() if labels is None else (task.target,)))
    rows = []
    for number, row in _rows(path, wanted, task):
        if labels is not None:
            row[task.target] = _label(row[task.target], labels, f"{path}:{number}")
        rows.append({field: row[field] for field in wanted})
        if limit and len(rows) == limit:
            break
    if not rows:
        raise Mistake(f"{path}: expected rows of {', '.join(wanted)}, found none")
    return rows


def labels_of(rows, task, path):
    """Returns the labels that rows read with `ANY` have: numbers in their order, else names in that of the alphabet.

    Raises:
        Mistake: There are fewer than two.
    """
    labels = {row[task.target] for row in rows}
    if len(labels) < 2:
        raise Mistake(f"{path}: expected two or more different labels, found {_short(', '.join(labels))} in all rows")
    numbers = all(label.isdecimal() for label in labels)
    return sorted(labels, key=lambda label: (int(label), label) if numbers else label)


def _rows(path, wanted, task):
    lines = _lines(path)
    header = lines[0][1].split("\t") if lines else []
    if Path(path).suffix in (".jsonl", ".json"):
        for number, line in lines:
            yield number, _json_row(line, wanted, task, f"{path}:{number}")
    elif all(any(name in header for name in COLUMNS[field]) for field in wanted) and (
        "\t" in lines[0][1] or len(wanted) == 1
    ):
        column = {field: next(header.index(name) for name in COLUMNS[field] if name in header) for field in wanted}
        for number, line in lines[1:]:
            values = line.split("\t")
            if len(values) != len(header):
                raise Mistake(
                    f"{path}:{number}: expected {len(header)} columns ({', '.join(header)}), found {len(values)}"
                )
            yield number, {field: values[place] for field, place in column.items()}
    elif len(wanted) == 1:
        for number, line in lines:
            yield number, {wanted[0]: line}
    else:
        for number, line in lines:
            label, separator, text = line.partition(" ")
            if not separator or not text.strip() or "\t" in label:
                raise Mistake(
                    f"{path}:{number}: expected `label sentence` (or JSON lines in a .jsonl file, or a first line with"
                    f" tab-separated columns {', '.join(wanted)}), found {_short(line)}"
                )
            yield number, {"label": label, "text": text}


def _lines(path):
    """Returns (line number, line) of every line; only line feeds end lines, and the last may lack its own."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror}); expected a file of rows") from None
    lines = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n"), 1):
        try:
            line = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise Mistake(
                f"{path}:{number}: expected UTF-8, found byte 0x{line[error.start]:02x} at {error.start}"
            ) from None
        if not line.strip() and content:
            raise Mistake(f"{path}:{number}: expected a row, found an empty line")
        lines.append((number, line))
    return lines if content else []


def _json_row(line, wanted, task, place):
    try:
        row = json.loads(line)
    except ValueError as error:
        raise Mistake(f"{place}: expected a JSON object, found {_short(line)} ({error})") from None
    if not isinstance(row, dict):
        raise Mistake(f"{place}: expected a JSON object with {', '.join(wanted)}, found {_short(line)}")
    missing = [field for field in wanted if field not in row]
    if missing:
        raise Mistake(f"{place}: expected the fields {', '.join(wanted)}, found {', '.join(row) or 'none'}")
    for field in wanted:
        if field == task.target and type(row[field]) is int:  # a label's number
            row[field] = str(row[field])
        if not isinstance(row[field], str):
            raise Mistake(f"{place}: expected {field} to be a string, found {_short(json.dumps(row[field]))}")
        if any("\ud800" <= character <= "\udfff" for character in row[field]):
            raise Mistake(
                f"{place}: expected {field} to be text, found half of a surrogate pair in {_short(ascii(row[field]))}"
            )
    return row


def _label(value, labels, place):
    value = value.strip()
    if value in labels or (labels == ANY and value):
        return value
    if value.isdecimal() and int(value) < len(labels):
        return labels[int(value)]
    if labels == ANY:
        raise Mistake(f"{place}: expected a label, found none")
    numbered = ", ".join(f"{label} (or {number})" for number, label in enumerate(labels))
    raise Mistake(f"{place}: expected a label of {numbered}, found {_short(value)}")


def _short(text, most=60):
    return repr(text if len(text) <= most else text[:most] + "...")

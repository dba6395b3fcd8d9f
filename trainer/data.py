"""Files to rows: a row is a dict of the task's fields and its gold value. Imports no framework.

Texts are read in three forms, told apart by the file itself (one that ends in .gz is unpacked):
    JSON lines            {"text": "a fine film", "label": "positive"}       (the name ends in .jsonl or .json)
    tab-separated, GLUE   first line `sentence<TAB>label`, columns by name   (the first line names them)
    lines                 `1 a fine film`, or `a fine film` where no labels are asked for   (anything else)

Tagged sentences in two more, instead of the last two: CoNLL-U and columns, see `trainer.conll`. Questions with their
answers in SQuAD's JSON or in JSON lines, see `trainer.squad`.
"""

import gzip
import json
import zlib
from pathlib import Path

from trainer import Mistake, conll, short, squad
from trainer.progress import say

# Our fields -> names that files use for them, the first that are all there
COLUMNS = {
    ("text",): (("text",), ("sentence",), ("text_a",)),
    ("words",): (("words",), ("tokens",)),
    ("text", "text_b"): (
        ("text", "text_b"), ("text_a", "text_b"), ("sentence1", "sentence2"), ("question1", "question2"),
        ("question", "sentence"), ("premise", "hypothesis"),
    ),
    ("premise", "hypothesis"): (
        ("premise", "hypothesis"), ("sentence1", "sentence2"), ("sentence_A", "sentence_B"), ("text_a", "text_b"),
    ),
}  # fmt: skip
TARGETS = {  # likewise, of the gold value
    "label": ("label", "gold_label", "entailment_judgment", "entailment_label"),
    "tags": ("tags", "upos"),
}
ANY = ()  # labels are what the file says


def read(path, task, labels=None, *, limit=None, inputs=None, column=None):
    """Reads and checks a file, up to its end or `limit`; nothing is trained on one that has a malformed line.

    Args:
        path: The file, UTF-8.
        task: A `Task`.
        labels: Known label names; a row's label must be one of them, or the number of one. `ANY`: whatever it says. None:
            inputs alone.
        limit: Read so many rows only.
        inputs: Fields that rows may have, [names, ...]; the first that the first row has is taken. Default: the task's.
        column: Of the tags, see `trainer.conll.sentences`.

    Returns:
        A list of dicts: the fields of one of the task's inputs and, unless `labels` is None, its target: a label name, or
        a tag for every word (then beside `words`, `text` and `spans`, see `trainer.conll`), or a list of answers (beside
        `id`, see `trainer.squad`).

    Raises:
        Mistake: No such file, no rows, or a malformed line; names file, line number, what was found and expected.
    """
    target = None if labels is None else task.target
    inputs = [("words",)] if target == "tags" else inputs or [fields for _, fields in task.inputs]
    rows, left_out = [], 0
    if task.target == "tags":
        found = _tagged(path, inputs, target, column)
    elif task.target == "answers" and (target or is_json(path)):
        found = squad.questions(content(path), path, answered=bool(target))
    else:
        found = _labelled(path, inputs, target, labels, task)
    for row in found:
        if row is None:
            left_out += 1
            continue
        rows.append(row)
        if len(rows) == limit:
            break
    unlabelled = f"without a gold label ({' or '.join(task.unlabelled)}) and left out: {left_out}" if left_out else ""
    if not rows:
        raise Mistake(
            f"{path}: expected rows of {', '.join(_wanted(inputs[-1], target))}, found none"
            + (unlabelled and f"; {unlabelled}")
        )
    if unlabelled:
        say(f"{path}: rows {unlabelled}")
    return rows


def labels_of(rows, task, path):
    """Returns the labels that rows read with `ANY` have: numbers in their order, else names in that of the alphabet.

    Raises:
        Mistake: There are fewer than two.
    """
    labels = {row[task.target] for row in rows}
    if len(labels) < 2:
        raise Mistake(f"{path}: expected two or more different labels, found {short(', '.join(labels))} in all rows")
    numbers = all(label.isdecimal() for label in labels)
    return sorted(labels, key=lambda label: (int(label), label) if numbers else label)


def _wanted(fields, target):
    return (*fields, *((target,) if target else ()))


def _names(inputs, target, found):
    """Returns (fields, {ours: theirs}) of the first input, and the target, that stand among the names found; None if none."""
    for fields in inputs:
        for theirs in COLUMNS.get(fields, (fields,)):
            for gold in TARGETS.get(target, (target,)):
                if set(_wanted(theirs, gold)) <= set(found):
                    return fields, dict(zip(_wanted(fields, target), _wanted(theirs, gold), strict=True))
    return None


def _labelled(path, inputs, target, labels, task):
    """Yields rows of texts, and their label; None for a row that has none."""
    for number, row, fields in _rows(path, inputs, target):
        if target and row[target].strip() in task.unlabelled:
            yield None
            continue
        if target:
            row[target] = _label(row[target], labels, f"{path}:{number}")
        yield {name: row[name] for name in _wanted(fields, target)}


def _rows(path, inputs, target):
    lines = _lines(path)
    header = lines[0][1].split("\t") if lines else []
    named = _names(inputs, target, header)
    single = next((fields for fields in inputs if len(fields) == 1), None)
    if is_json(path):
        fields = None
        for number, line in lines:
            own, row = _json_row(line, inputs, target, f"{path}:{number}")
            fields = fields or own
            if own != fields:
                raise Mistake(
                    f"{path}:{number}: expected {', '.join(fields)} as in the rows before, found {', '.join(own)}"
                )
            yield number, row, fields
    elif named and (len(header) > 1 or header == ["text"]):
        fields, names = named
        column = {ours: header.index(theirs) for ours, theirs in names.items()}
        for number, line in lines[1:]:
            values = line.split("\t")
            if len(values) != len(header):
                raise Mistake(
                    f"{path}:{number}: expected {len(header)} columns ({', '.join(header)}), found {len(values)}"
                )
            yield number, {field: values[place] for field, place in column.items()}, fields
    elif single and not target:
        for number, line in lines:
            yield number, {single[0]: line}, single
    else:
        for number, line in lines:
            label, separator, text = line.partition(" ")
            if not single or not separator or not text.strip() or "\t" in label:
                form = "`label sentence` (or JSON lines" if single else "columns by name (or JSON lines"
                raise Mistake(
                    f"{path}:{number}: expected {form} in a .jsonl file, or a first line with"
                    f" tab-separated columns {', '.join(_wanted(inputs[-1], target))}), found {short(line)}"
                )
            yield number, {target: label, single[0]: text}, single


def _tagged(path, inputs, target, column):
    """Yields rows of tagged sentences; without `target`, of words or of texts."""
    if is_json(path):
        if column:
            raise Mistake(f"--column: expected for CoNLL-U and columns, received {column} for {path}")
        for number, line in _lines(path):
            _, row = _json_row(line, inputs, target, f"{path}:{number}")
            if "words" not in row:
                yield {"text": row["text"]}
            elif not target:
                yield {"words": row["words"]}
            elif len(row["words"]) != len(row["tags"]) or not row["words"]:
                found = f"{len(row['words'])} words, {len(row['tags'])} tags"
                raise Mistake(f"{path}:{number}: expected a tag for each word, found {found}")
            else:
                try:
                    yield conll.row_of(row["words"], row["tags"], row.get("text"))
                except ValueError as error:
                    raise Mistake(f"{path}:{number}: {error}") from None
    elif target or Path(str(path).removesuffix(".gz")).suffix in (".conllu", ".conll"):
        for row in conll.sentences(_lines(path, blank=True), path, column, tagged=bool(target)):
            yield row if target else {"words": row["words"]}
    else:
        for _, row, _ in _rows(path, [("text",)], None):
            yield row


def is_json(path):
    return Path(str(path).removesuffix(".gz")).suffix in (".jsonl", ".json")


def content(path):
    """Returns the bytes of a file, unpacked if its name ends in .gz."""
    try:
        found = Path(path).read_bytes()
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror}); expected a file of rows") from None
    try:
        return gzip.decompress(found) if str(path).endswith(".gz") else found
    except (OSError, EOFError, zlib.error) as error:
        raise Mistake(f"{path}: expected a file packed by gzip, found another or a damaged one ({error})") from None


def _lines(path, *, blank=False):
    """Returns (line number, line) of every line; only line feeds end lines, and the last may lack its own."""
    found = content(path)
    lines = []
    for number, line in enumerate(found.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n"), 1):
        try:
            line = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise Mistake(
                f"{path}:{number}: expected UTF-8, found byte 0x{line[error.start]:02x} at {error.start}"
            ) from None
        if not blank and not line.strip() and found:
            raise Mistake(f"{path}:{number}: expected a row, found an empty line")
        lines.append((number, line))
    return lines if found else []


def _json_row(line, inputs, target, place):
    """Returns (fields, row) of a line that has the fields of one of the inputs, and the target."""
    try:
        found = json.loads(line)
    except ValueError as error:
        raise Mistake(f"{place}: expected a JSON object, found {short(line)} ({error})") from None
    expected = _wanted(inputs[-1], target)
    if not isinstance(found, dict):
        raise Mistake(f"{place}: expected a JSON object with {', '.join(expected)}, found {short(line)}")
    named = _names(inputs, target, found)
    if not named:
        raise Mistake(f"{place}: expected the fields {', '.join(expected)}, found {', '.join(found) or 'none'}")
    fields, names = named
    if "words" in names and "text" in found:
        names = names | {"text": "text"}
    row = {}
    for field, name in names.items():
        value = found[name]
        if field == "label" and type(value) is int:  # a label's number
            value = str(value)
        many = field in ("words", "tags")
        values = value if many and isinstance(value, list) else [value]
        if many != isinstance(value, list) or not all(isinstance(one, str) for one in values):
            kind = "a list of strings" if many else "a string"
            raise Mistake(f"{place}: expected {name} to be {kind}, found {short(json.dumps(value))}")
        if many and not all(one.strip() for one in values):
            raise Mistake(f"{place}: expected {name} without empty ones, found {short(json.dumps(value))}")
        if field in ("label", "tags") and any(set(one) & set("\r\n") for one in values):
            raise Mistake(f"{place}: expected {name} without line breaks, found {short(json.dumps(value))}")
        row[field] = [one.strip() for one in values] if many else value
        if any("\ud800" <= character <= "\udfff" for one in values for character in one):
            raise Mistake(
                f"{place}: expected {name} to be text, found half of a surrogate pair in {short(ascii(value))}"
            )
    return fields, row


def _label(value, labels, place):
    value = value.strip()
    if value in labels or (labels == ANY and value):
        return value
    same = [label for label in labels if label.casefold() == value.casefold()]  # SICK says ENTAILMENT
    if len(same) == 1:
        return same[0]
    numbers = not any(label.isdecimal() for label in labels)  # else a number is a name
    if numbers and value.isdecimal() and int(value) < len(labels):
        return labels[int(value)]
    if labels == ANY:
        raise Mistake(f"{place}: expected a label, found none")
    numbered = ", ".join(f"{label} (or {number})" if numbers else label for number, label in enumerate(labels))
    raise Mistake(f"{place}: expected a label of {numbered}, found {short(value)}")

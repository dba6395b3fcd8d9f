"""Files to rows: a row is a dict of the task's fields and its gold value. Imports no framework.

Texts are read in three forms, told apart by the file itself (one that ends in .gz is unpacked; `-` is standard input):
    JSON                  {"text": "a fine film", "label": "positive"} a line, or a list of such objects  (.jsonl, .json)
    tab-separated, GLUE   first line `sentence<TAB>label`, columns by name   (the first line names them)
    lines                 `1 a fine film`, or `a fine film` where no labels are asked for   (anything else)
Where lines could be either, with a label or without, nothing is guessed: `--lines labelled` or `--lines texts` says it.

Tagged sentences in two more, instead of the last two: CoNLL-U and columns, see `trainer.data.conll`. Questions with their
answers in SQuAD's JSON or in JSON lines, see `trainer.data.squad`.
"""

import gzip
import json
import re
import sys
import zlib
from collections import Counter
from pathlib import Path

from trainer.data import classes, conll, squad
from trainer.errors import Mistake, short
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
LABELLED, TEXTS = "labelled", "texts"  # what `--lines` says
STANDARD_INPUT = "-"
BOM = b"\xef\xbb\xbf"
SURE_LABEL = re.compile(
    r"[+-]?\d+|[+-]|__label__.+"
)  # what begins every line only if it is a label; the latter is fastText's


def read(path, task, labels=None, *, limit=None, inputs=None, column=None, lines=None, known=None, remedy=""):
    """Reads and checks a file, up to its end or `limit`; nothing is trained on one that has a malformed line.

    Args:
        path: The file, UTF-8; `-` for standard input.
        task: A `Task`.
        labels: Known label names; a row's label must be one of them, or the number of one. `ANY`: whatever it says. None:
            inputs alone.
        limit: Return so many rows only; of rows with labels all are read, to say so if the others have other labels.
        inputs: Fields that rows may have, [names, ...]; the first that the first row has is taken. Default: the task's.
        column: Of the tags, see `trainer.data.conll.sentences`.
        lines: What lines without column names are: `labelled` or `texts`; None: what they are with certainty.
        known: Where `labels` is None: label names that a line may begin with (default: the task's).
        remedy: What the message about other labels behind the limit ends with.

    Returns:
        A list of dicts: the fields of one of the task's inputs and, unless `labels` is None, its target: a label name, or
        a tag for every word (then beside `words`, `text` and `spans`, see `trainer.data.conll`), or a list of answers (beside
        `id`, see `trainer.data.squad`).

    Raises:
        Mistake: No such file, no rows, or a malformed line; names file, line number, what was found and expected.
    """
    target = None if labels is None else task.target
    inputs = [("words",)] if target == "tags" else inputs or [fields for _, fields in task.inputs]
    if _suffix(path) == ".csv":
        raise Mistake(_no_csv(path, inputs, target))
    bytes_, json_ = content(path), is_json(path)
    path = "standard input" if str(path) == STANDARD_INPUT else path
    json_ = json_ or (path == "standard input" and _looks_like_json(bytes_))
    rows, left_out, rest = [], 0, Counter()
    if task.target == "tags":
        found = _tagged(path, bytes_, json_, inputs, target, column)
    elif task.target == "answers" and (target or json_):
        found = squad.questions(bytes_, path, answered=bool(target))
    else:
        beginnings = (task.labels or ()) if known is None else known
        found = _labelled(path, bytes_, json_, inputs, labels, task, lines, beginnings)
    for row in found:
        if row is None:
            left_out += 1
        elif len(rows) != limit:
            rows.append(row)
        else:  # of rows with labels
            rest[row[target]] += 1
        if len(rows) == limit and target != "label":
            break
    unlabelled = f"without a gold label ({' or '.join(task.unlabelled)}) and left out: {left_out}" if left_out else ""
    if not rows:
        raise Mistake(
            f"{path}: expected rows of {', '.join(_wanted(inputs[-1], target))}, found none"
            + (unlabelled and f"; {unlabelled}")
        )
    if unlabelled:
        say(f"{path}: rows {unlabelled}")
    if rest:
        first = Counter(row[target] for row in rows)
        classes.tell_shares(path, first, first + rest, remedy)
    return rows


def labels_of(rows, task):
    """Returns the labels that rows read with `ANY` have: numbers in their order, else names in that of the alphabet."""
    labels = {row[task.target] for row in rows}
    numbers = all(label.isdecimal() for label in labels)
    return sorted(labels, key=lambda label: (int(label), label) if numbers else label)


def _wanted(fields, target):
    return (*fields, *((target,) if target else ()))


def _names(inputs, target, found):
    """Returns (fields, {ours: theirs}) of the first input, and the target, that stand among the names found, in capitals or
    not; None if none."""
    spelled = {name.strip().casefold(): name for name in reversed(found)}
    for fields in inputs:
        for theirs in COLUMNS.get(fields, (fields,)):
            for gold in TARGETS.get(target, (target,)):
                wanted = [name.casefold() for name in _wanted(theirs, gold)]
                if set(wanted) <= set(spelled):
                    return fields, {
                        ours: spelled[name] for ours, name in zip(_wanted(fields, target), wanted, strict=True)
                    }
    return None


def _labelled(path, content, is_json, inputs, labels, task, plain, beginnings):
    """Yields rows of texts, and their label; None for a row that has none. `plain` and `beginnings`: see `read`."""
    target = None if labels is None else task.target
    single = next((fields for fields in inputs if len(fields) == 1), None)
    if is_json:
        found = _json_rows(path, content, inputs, target)
    else:
        lines = _lines(path, content)
        found = _columns(path, lines, inputs, target)
        if not found:
            if lines and (
                _is_csv(lines[0][1], inputs, task.target) or (not single and _is_csv(lines[0][1], inputs, None))
            ):
                raise Mistake(_no_csv(path, inputs, target))
            if plain is None:
                _check_plain(path, lines, inputs, target, labels, beginnings if task.target == "label" else None)
            if single and not target and plain != LABELLED:
                found = _plain_lines(lines, single)
            else:
                found = _labelled_lines(path, lines, single, _wanted(inputs[-1], target), task.target)
    for number, row, fields in found:
        if target and row[target].strip() in task.unlabelled:
            yield None
            continue
        if target:
            row[target] = _label(row[target], labels, f"{path}:{number}")
        yield {name: row[name] for name in _wanted(fields, target)}


def _json_rows(path, content, inputs, target):
    fields = None
    for place, value in _json_values(path, content):
        own, row = _json_row(value, inputs, target, f"{path}{place}")
        fields = fields or own
        if own != fields:
            raise Mistake(f"{path}{place}: expected {', '.join(fields)} as in the rows before, found {', '.join(own)}")
        yield place.removeprefix(":"), row, fields


def _json_values(path, content):
    """Yields (place, line) of JSON lines, or (place, object) of a list of objects."""
    if content.removeprefix(BOM).lstrip().startswith(b"["):
        try:
            values = json.loads(content.removeprefix(BOM))
        except (ValueError, RecursionError):
            values = None
        if values and all(isinstance(value, dict) for value in values):
            yield from ((f":[{i}]", value) for i, value in enumerate(values))
            return
    yield from ((f":{number}", line) for number, line in _lines(path, content))


def _columns(path, lines, inputs, target):
    """Returns the rows of tab-separated columns; None where the first line does not name those that are wanted."""
    header = lines[0][1].split("\t") if lines else []
    named = _names(inputs, target, header)
    if not named or (len(header) == 1 and header[0].casefold() != "text"):
        return None
    fields, names = named
    return _cells(path, lines[1:], header, fields, {ours: header.index(theirs) for ours, theirs in names.items()})


def _cells(path, lines, header, fields, column):
    for number, line in lines:
        values = line.split("\t")
        if len(values) != len(header):
            raise Mistake(f"{path}:{number}: expected {len(header)} columns ({', '.join(header)}), found {len(values)}")
        yield number, {field: values[place] for field, place in column.items()}, fields


def _plain_lines(lines, fields):
    for number, line in lines:
        yield number, {fields[0]: line}, fields


def _labelled_lines(path, lines, single, wanted, name):
    """Yields rows of `label sentence` lines; `single`: the field of the sentence, None where rows have no single one."""
    for number, line in lines:
        label, separator, text = line.partition(" ")
        if not single or not separator or not text.strip() or "\t" in label:
            form = "`label sentence` (or JSON lines" if single else "columns by name (or JSON lines"
            raise Mistake(
                f"{path}:{number}: expected {form} in a .jsonl file, or a first line with"
                f" tab-separated columns {', '.join(wanted)}), found {short(line)}"
            )
        yield number, {name: label, single[0]: text}, single


def _is_csv(first, inputs, target):
    """Says whether a first line names the columns that are wanted, with commas or semicolons between."""
    rows = ([cell.strip(' "') for cell in first.split(separator)] for separator in ",;")
    return any(len(cells) > 1 and _names(inputs, target, cells) for cells in rows)


def _no_csv(path, inputs, target):
    wanted = ", ".join(_wanted(inputs[-1], target))
    return f"{path}: CSV is not read; expected tab-separated columns {wanted}, named in the first line, or JSON lines"


def _check_plain(path, lines, inputs, target, labels, beginnings):
    """Refuses lines of which it is not certain whether they begin with a label; `beginnings`: labels they may begin with."""
    tabs = {line.count("\t") for _, line in lines}
    if len(tabs) == 1 and tabs != {0}:
        texts = "" if target else "; or --lines texts, if the tabs are part of the texts"
        raise Mistake(
            f"{path}:1: expected the names of its {tabs.pop() + 1} tab-separated columns in the first line "
            f"({', '.join(_wanted(inputs[-1], target))}), found {short(lines[0][1])}{texts}"
        )
    if len(inputs[-1]) > 1 or beginnings is None:
        return
    firsts = [line.split(" ", 1)[0] if " " in line else "" for _, line in lines]
    if target and labels == ANY:
        strange = next((i for i, first in enumerate(firsts) if not SURE_LABEL.fullmatch(first)), None)
        if strange is not None:
            number, line = lines[strange]
            raise Mistake(
                f"{path}:{number}: expected a label before the text, by a name that --labels gives, or by its number, found "
                f"{short(line)}; --lines labelled takes the first word of every line as its label"
            )
    elif not target and lines:
        known = {*beginnings, *map(str, range(len(beginnings)))} if beginnings else None
        if all(first in known if known else SURE_LABEL.fullmatch(first) for first in firsts):
            raise Mistake(
                f"{path}: expected texts, found a label before every one, such as {short(lines[0][1])}; "
                "--lines labelled drops the labels, --lines texts takes all as text"
            )


def _tagged(path, content, is_json, inputs, target, column):
    """Yields rows of tagged sentences; without `target`, of words or of texts."""
    if is_json:
        if column:
            raise Mistake(f"--column: expected for CoNLL-U and columns, received {column} for {path}")
        for place, value in _json_values(path, content):
            _, row = _json_row(value, inputs, target, f"{path}{place}")
            if "words" not in row:
                yield {"text": row["text"]}
            elif not target:
                yield {"words": row["words"]}
            elif len(row["words"]) != len(row["tags"]) or not row["words"]:
                found = f"{len(row['words'])} words, {len(row['tags'])} tags"
                raise Mistake(f"{path}{place}: expected a tag for each word, found {found}")
            else:
                try:
                    yield conll.row_of(row["words"], row["tags"], row.get("text"))
                except ValueError as error:
                    raise Mistake(f"{path}{place}: {error}") from None
    elif target or _suffix(path) in (".conllu", ".conll"):
        for row in conll.sentences(_lines(path, content, blank=True), path, column, tagged=bool(target)):
            yield row if target else {"words": row["words"]}
    else:
        lines = _lines(path, content)
        rows = _columns(path, lines, [("text",)], None) or _plain_lines(lines, ("text",))
        yield from (row for _, row, _ in rows)


def _suffix(path):
    return Path(str(path).removesuffix(".gz")).suffix.lower()


def is_json(path):
    return _suffix(path) in (".jsonl", ".json")


def _looks_like_json(content):
    """Says whether what has no name begins with a JSON object, or is a list of some."""
    start = content.removeprefix(BOM).lstrip()
    try:
        if start.startswith(b"{"):
            return isinstance(json.loads(start.split(b"\n", 1)[0]), dict) or isinstance(json.loads(start), dict)
        return start.startswith(b"[") and all(isinstance(value, dict) for value in json.loads(start))
    except (ValueError, RecursionError):
        return False


def content(path):
    """Returns the bytes of a file, unpacked if its name ends in .gz; of standard input, if the path is `-`."""
    if str(path) == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        found = Path(path).read_bytes()
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror}); expected a file of rows") from None
    try:
        return gzip.decompress(found) if str(path).endswith(".gz") else found
    except (OSError, EOFError, zlib.error) as error:
        raise Mistake(f"{path}: expected a file packed by gzip, found another or a damaged one ({error})") from None


def _lines(path, content, *, blank=False):
    """Returns (line number, line) of every line; only line feeds end lines. `blank`: empty ones are lines; else they may
    stand at the end alone."""
    lines = []
    for number, line in enumerate(content.removeprefix(BOM).removesuffix(b"\n").split(b"\n"), 1):
        try:
            line = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise Mistake(
                f"{path}:{number}: expected UTF-8, found byte 0x{line[error.start]:02x} at {error.start}"
            ) from None
        lines.append((number, line))
    if not blank:
        while lines and not lines[-1][1].strip():
            lines.pop()
        for number, line in lines:
            if not line.strip():
                raise Mistake(f"{path}:{number}: expected a row, found an empty line")
    return lines if content else []


def _json_row(line, inputs, target, place):
    """Returns (fields, row) of a line, or an object, that has the fields of one of the inputs, and the target."""
    try:
        found = json.loads(line) if isinstance(line, str) else line
    except (ValueError, RecursionError) as error:
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

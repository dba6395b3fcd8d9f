"""Records of a file to rows of a task: every value checked here, whichever form it came from. Imports no framework."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trainer.data import conll, squad
from trainer.data.labels import GOLD
from trainer.data.schema import Row, Schema
from trainer.data.table import Table
from trainer.errors import Mistake, short
from trainer.tasks.table import LISTS, Task


class Columns(NamedTuple):
    """All that a file says in a row."""

    values: dict[str, Any]  # {name in the file: value}
    names: Mapping[str, str]  # {field of the row: name in the file}


class Parsed(NamedTuple):
    """A row, and all that the file said there."""

    row: Row | None  # None: without a gold label
    columns: Columns | None = None  # None: the file's form has no columns of its own


class Placed(NamedTuple):
    """A row, and where it stands."""

    place: str  # for messages: path:line
    fields: tuple[str, ...]  # of its input
    row: Row
    columns: Columns | None


def checked(table: Table, schema: Schema) -> Iterator[Placed]:
    """Yields the row of each record, its values of the types that its fields have.

    Args:
        table: The records.
        schema: The fields to take; a record may have more.

    Raises:
        Mistake: A record without these fields, or with a value of another type.
    """
    names, match = None, table.match
    for place, values in table.records:
        if not table.match and names != tuple(values):  # mostly the same from record to record
            names = tuple(values)
            match = schema.match(names)
        if not match:
            raise Mistake(f"{place}: expected the fields {schema.expected}, found {', '.join(values) or 'none'}")
        row = {
            field: values[name]
            if table.one_line
            else _checked(values[name], field, name, place, cell=bool(table.sheet))
            for field, name in match.names.items()
        }
        yield Placed(place, match.fields, row, Columns(values, match.names) if table.named else None)


def labelled(table: Table, schema: Schema, task: Task, labels: Sequence[str] | None) -> Iterator[Parsed]:
    """Yields the row of each record, all of the same fields, and its label by name; none for one without a gold label.

    Args:
        table: The records.
        schema: The fields to take.
        task: It says what stands for a missing label.
        labels: See `files.read`.

    Raises:
        Mistake: See `checked`; or a row with other fields than the first, an unknown label, or one that there is no answer to.
    """
    first = None
    for place, fields, row, columns in checked(table, schema):
        first = first or fields
        if fields != first:
            raise Mistake(f"{place}: expected {', '.join(first)} as in the rows before, found {', '.join(fields)}")
        if labels is not None and schema.target:
            value = row[schema.target]
            if isinstance(value, str) and value.strip() in task.unlabelled:
                yield Parsed(None)
                continue
            row[schema.target] = GOLD[schema.target](value, labels, place)
        task.check(row, place)
        yield Parsed(row, columns)


def tagged(table: Table, schema: Schema) -> Iterator[Parsed]:
    """Yields the row of each record: words with their tags and places, see `trainer.data.conll`; without a target in the
    schema, words or a text alone.

    Raises:
        Mistake: See `checked`; or not a tag for each word, or a text that is not made of the words.
    """
    for place, _, row, columns in checked(table, schema):
        if "words" not in row:
            yield Parsed({"text": row["text"]}, columns)
        elif not schema.target:
            yield Parsed({"words": row["words"]}, columns)
        elif len(row["words"]) != len(row["tags"]) or not row["words"]:
            counts = f"{len(row['words'])} words, {len(row['tags'])} tags"
            raise Mistake(f"{place}: expected a tag for each word, found {counts}")
        else:
            try:
                yield Parsed(conll.row_of(row["words"], row["tags"], row.get("text")), columns)
            except ValueError as error:
                raise Mistake(f"{place}: {error}") from None


def asked(table: Table, schema: Schema) -> Iterator[Parsed]:
    """Yields the row of each record of a question, with its answers where the schema has a target, see `trainer.data.squad`.

    Raises:
        Mistake: See `checked` and `squad.answers_of_cells`.
    """
    for number, (place, values) in enumerate(table.records, 1):
        match = table.match or schema.match(tuple(values))
        if not match:
            raise Mistake(f"{place}: expected the fields {schema.expected}, found {', '.join(values) or 'none'}")
        question = values | {field: values[name] for field, name in match.names.items()}
        columns = Columns(values, match.names) if table.named else None
        if schema.target and table.sheet:
            question["answers"] = squad.answers_of_cells(question, place)
        yield Parsed(squad.row_of(question, question, str(number), place, answered=bool(schema.target)), columns)


def _checked(value: Any, field: str, name: str, place: str, *, cell: bool = False) -> Any:
    """Returns a value of the type that the field has: a string, or a list of strings without white space around them."""
    if field == "score" and type(value) in (int, float):
        return value
    if field in ("label", "labels") and type(value) is int:  # a label's number
        value = str(value)
    if field == "labels" and isinstance(value, list):
        return [_checked(label, "label", name, place) for label in value]
    is_list = field in LISTS
    if is_list and cell:
        value = _list_of_cell(value)
    strings = value if is_list and isinstance(value, list) else [value]
    if is_list != isinstance(value, list) or not all(isinstance(string, str) for string in strings):
        kind = "a list of strings" if is_list else "a string"
        raise Mistake(f"{place}: expected {name} to be {kind}, found {short(json.dumps(value))}")
    if is_list and not all(string.strip() for string in strings):
        raise Mistake(f"{place}: expected {name} without empty ones, found {short(json.dumps(value))}")
    if field in ("label", "tags") and any(set(string) & set("\r\n") for string in strings):
        raise Mistake(f"{place}: expected {name} without line breaks, found {short(json.dumps(value))}")
    if any("\ud800" <= character <= "\udfff" for string in strings for character in string):
        raise Mistake(f"{place}: expected {name} to be text, found half of a surrogate pair in {short(ascii(value))}")
    return [string.strip() for string in strings] if is_list else value


def _list_of_cell(value):
    """Returns the list that a cell holds: as JSON, else words with white space between."""
    try:
        values = json.loads(value) if value.startswith("[") else None
    except (ValueError, RecursionError):
        values = None
    return values if isinstance(values, list) else value.split()

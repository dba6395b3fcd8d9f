"""JSON to records: an object a line, or a list of objects. Imports no framework."""

import json
from collections.abc import Iterator

from trainer.data.schema import Schema
from trainer.data.source import BOM, STANDARD_INPUT_NAME, AnyPath, Source, suffix
from trainer.data.table import Record, Table
from trainer.errors import Mistake, short


def is_json(path: AnyPath) -> bool:
    """Says whether a file is JSON by its name."""
    return suffix(path) in (".jsonl", ".json")


def holds_json(source: Source) -> bool:
    """Says whether a file is JSON by its name; standard input, which has none, by how it begins."""
    return is_json(source.path) or (source.path == STANDARD_INPUT_NAME and _looks_like_json(source.content))


def table(source: Source, schema: Schema) -> Table:
    """Returns the objects of a file, parsed one by one.

    Args:
        source: JSON lines, or one list.
        schema: For messages.

    Raises:
        Mistake: While the records are read: a line that is no JSON object.
    """
    return Table(_records(source, schema), one_line=False)


def _records(source: Source, schema: Schema) -> Iterator[Record]:
    objects = _list_of_objects(source.content)
    if objects:
        yield from (Record(f"{source.path}:[{i}]", values) for i, values in enumerate(objects))
        return
    for number, line in source.lines():
        place = f"{source.path}:{number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Mistake(f"{place}: expected a JSON object, found {short(line)} ({error})") from None
        if not isinstance(values, dict):
            raise Mistake(f"{place}: expected a JSON object with {schema.expected}, found {short(line)}")
        yield Record(place, values)


def _list_of_objects(content):
    """Returns the objects where the content is a list of nothing else; None otherwise."""
    start = content.removeprefix(BOM)
    if not start.lstrip().startswith(b"["):
        return None
    try:
        values = json.loads(start)
    except (ValueError, RecursionError):
        return None
    return values if all(isinstance(value, dict) for value in values) else None


def _looks_like_json(content):
    """Says whether content begins with a JSON object, or is a list of some."""
    start = content.removeprefix(BOM).lstrip()
    try:
        if start.startswith(b"{"):
            return isinstance(json.loads(start.split(b"\n", 1)[0]), dict) or isinstance(json.loads(start), dict)
        return start.startswith(b"[") and all(isinstance(value, dict) for value in json.loads(start))
    except (ValueError, RecursionError):
        return False

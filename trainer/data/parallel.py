"""Parallel text: two files whose lines belong together, named as one path, `train.{de,en}`; what the first says is written
as the second has it. Imports no framework."""

from collections.abc import Iterator

from trainer.data.schema import Schema
from trainer.data.source import AnyPath, Source
from trainer.data.table import Record, Table
from trainer.errors import Mistake
from trainer.paired import names_of


def table(path: AnyPath, schema: Schema, encoding: str | None = None) -> Table:
    """Returns a record of `source` and `target` for each line of two files.

    Args:
        path: Of both.
        schema: The fields that are asked for.
        encoding: See `Source.read`.

    Raises:
        Mistake: A file cannot be read, or has an empty line; they have not as many lines; other fields are asked for.
    """
    if ("source",) not in schema.inputs:
        raise Mistake(f"{path}: expected one file of {schema.expected}, received two, as translation reads them")
    names = names_of(path)
    first, second = (Source.read(name, encoding).lines() for name in names)
    if len(first) != len(second):
        counts = " and ".join(f"{len(lines):,} in {name}" for lines, name in zip((first, second), names, strict=True))
        raise Mistake(f"{path}: expected as many lines in both files, found {counts}")

    def records() -> Iterator[Record]:
        for (number, source), (_, target) in zip(first, second, strict=True):
            yield Record(f"{path}:{number}", {"source": source, "target": target})

    return Table(records(), one_line=True)

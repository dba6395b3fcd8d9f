"""Tab-separated columns, named in the first line, to records; CSV is recognised, and refused. Imports no framework."""

from collections.abc import Iterator
from dataclasses import replace

from trainer.data.schema import Schema
from trainer.data.source import AnyPath, Lines
from trainer.data.table import Record, Table
from trainer.errors import Mistake


def table(path: AnyPath, lines: Lines, schema: Schema) -> Table | None:
    """Returns the rows of tab-separated columns; None where the first line does not name those of the schema.

    Args:
        path: For messages.
        lines: (line number, line) of every line of the file.
        schema: The fields to look for.

    Raises:
        Mistake: While the records are read: a line with more or fewer columns than the first.
    """
    header = lines[0][1].split("\t") if lines else []
    if not schema.match(header) or (len(header) == 1 and header[0].casefold() != "text"):  # else a sentence, perhaps
        return None
    return Table(_records(path, lines[1:], header), one_line=True)


def _records(path: AnyPath, lines: Lines, header: list[str]) -> Iterator[Record]:
    columns = {name: header.index(name) for name in header}  # of columns with one name, the first
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) != len(header):
            raise Mistake(f"{path}:{number}: expected {len(header)} columns ({', '.join(header)}), found {len(cells)}")
        yield Record(f"{path}:{number}", {name: cells[column] for name, column in columns.items()})


def refuse_csv(path: AnyPath, first: str, schema: Schema, target: str) -> None:
    """Refuses a file whose first line names the columns of the schema, with commas or semicolons between.

    Args:
        path: For messages.
        first: The first line.
        schema: The fields to look for.
        target: The task's, which counts where it is not asked for, too: a text alone may well have a comma.
    """
    headers = [[name.strip(' "') for name in first.split(separator)] for separator in ",;"]
    schemas = [replace(schema, target=target)] + ([] if schema.single else [replace(schema, target=None)])
    if any(len(header) > 1 and fields.match(header) for header in headers for fields in schemas):
        raise Mistake(no_csv(path, schema))


def no_csv(path: AnyPath, schema: Schema) -> str:
    """Returns the message that CSV is not read."""
    return (
        f"{path}: CSV is not read; expected tab-separated columns {schema.expected}, named in the first line, "
        "or JSON lines"
    )

"""Rows of cells to records: which columns hold the fields, by their names or numbers. Imports no framework."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from trainer.data import dialect, guesses
from trainer.data.dialect import SEPARATORS, Cells, Dialect
from trainer.data.layout import Layout
from trainer.data.schema import Match, Schema
from trainer.data.source import AnyPath, Source
from trainer.data.table import Record, Sheet, Table
from trainer.errors import Mistake, short
from trainer.tasks.table import TASKS

INPUTS = {field for task in TASKS.values() for field in task.fields}


def table(source: Source, schema: Schema, layout: Layout, target: str) -> Table | None:
    """Returns the rows of a file whose cells are separated, see `trainer.data.dialect`; None where it is none.

    Args:
        source: The file.
        schema: The fields to look for.
        layout: What the user says of the file.
        target: The task's, which counts where it is not asked for, too.

    Raises:
        Mistake: It cannot be told how the cells are separated or which columns are meant; while the records are read: a row
            with more or fewer cells than the first.
    """
    form = dialect.dialect_of(source, layout, schema, replace(schema, target=target))
    if form is None:
        return None
    rows = dialect.cells(source, form)
    number, first = next(rows, (1, []))
    if not first:
        return Table((), one_line=True)
    has_names = not _by_numbers(schema) or guesses.are_names(first)
    header = [" ".join(name.split()) if has_names else "" for name in first]
    keys = _keys(header)
    if len(keys) == 1 and not form.quoted and keys[0].casefold() != "text":
        return None  # a sentence, perhaps
    place = f"{source.path}:{number}"
    placed = _placed(schema, keys, place)
    match = placed.match(keys, guess=True)
    if not match:
        raise Mistake(_no_match(place, placed, keys))
    if form.quoted:
        _check_single(match, header, place)
    notes = _notes(source.path, form, schema, match, keys, first=None if has_names else first)
    line_end = "\r\n" if "\r\n" in source.text else "\n"
    names = tuple(zip(keys, first if has_names else keys, strict=True))
    sheet = Sheet(form.separator, line_end, source.marked, form.announced, names)
    rows = rows if has_names else _from(number, first, rows)
    records = _records(source.path, rows, keys, header if has_names else keys, padded=form.quoted)
    return Table(records, one_line=not form.quoted, match=match, sheet=sheet, notes=notes)


def _from(number: int, first: list[str], rows: Cells) -> Cells:
    yield number, first
    yield from rows


def _records(path: AnyPath, rows: Cells, keys: list[str], header: list[str], padded: bool) -> Iterator[Record]:
    """Yields the record of each row.

    Args:
        path: For messages.
        rows: Of cells.
        keys: Of the columns.
        header: Their names in the file; an empty cell without a name is no value.
        padded: Empty cells may be missing, or be too many, at the end of a row, where columns have no names: as Excel has it.
    """
    width = len(keys)
    named = max((number for number, name in enumerate(header, 1) if name), default=width)
    for number, row in rows:
        cells = row
        if padded and len(row) != width:
            cells = row[:width] + [cell for cell in row[width:] if cell.strip()]
            cells = cells + [""] * (width - len(cells)) if len(cells) >= named else cells
        if len(cells) != width:
            names = ", ".join(name for name in header if name)
            raise Mistake(f"{path}:{number}: expected {width} column{'s' * (width > 1)} ({names}), found {len(row)}")
        values = zip(keys, cells, header, strict=True)
        yield Record(f"{path}:{number}", {key: cell for key, cell, name in values if cell or name})


def _keys(header: Sequence[str]) -> list[str]:
    """Returns names of columns, all different: `column_3` for one without, `text_2` for a second `text`."""
    keys: list[str] = []
    for number, name in enumerate(header, 1):
        name = name or f"column_{number}"
        same = sum(key == name for key in header[: number - 1])
        key = f"{name}_{same + 1}" if same else name
        while key in keys:
            key += "_"
        keys.append(key)
    return keys


def _by_numbers(schema: Schema) -> bool:
    """Says whether the columns of all fields of an input, and of the target, are given by their numbers."""
    given = {field for field, name in (*schema.usual.items(), *schema.named.items()) if name.isdecimal()}
    target = {schema.target} - {None}
    return any({*fields} | target <= given for fields in schema.inputs)


def _placed(schema: Schema, keys: Sequence[str], place: str) -> Schema:
    """Returns a schema whose columns are all given by names."""

    def name_of(field, name):
        if not name.isdecimal():
            return name
        if not 1 <= int(name) <= len(keys):
            raise Mistake(f"{place}: expected {name} columns or more (--{flag_of(field)} {name}), found {len(keys)}")
        return keys[int(name) - 1]

    named, usual = (
        {field: name_of(field, name) for field, name in given.items()} for given in (schema.named, schema.usual)
    )
    return replace(schema, named=named, usual=usual)


def flag_of(field: str) -> str:
    """Returns the option that names the column of a field."""
    return f"{field if field in INPUTS or field == 'target' else 'label'}_column"


def _no_match(place: str, schema: Schema, header: Sequence[str]) -> str:
    """Returns why the names of columns are not those that are looked for, and which flags mend it."""
    missing = schema.missing(header)
    field, rivals = max(missing.items(), key=lambda item: len(item[1]))
    if rivals:
        return f"{place}: expected one column for {field}, found {' and '.join(rivals)}; --{flag_of(field)} names it"
    flags = " and ".join(f"--{flag_of(field)}" for field in missing)
    found = ", ".join(short(name) for name in header)
    return f"{place}: expected columns named {schema.expected}, found {found}; {flags} can name another, or give its number"


def _check_single(match: Match, header: Sequence[str], place: str) -> None:
    for field, name in match.names.items():
        places = [str(number) for number, other in enumerate(header, 1) if other.casefold() == name.casefold()]
        if len(places) > 1:
            raise Mistake(
                f"{place}: expected one column {name}, found {len(places)}; --{flag_of(field)} {' or '.join(places)} says which"
            )


def _notes(
    path: AnyPath, form: Dialect, schema: Schema, match: Match, keys: list[str], first: list[str] | None
) -> tuple[str, ...]:
    """Returns which columns hold the fields, where the file is no GLUE TSV with the usual names."""
    if not form.quoted and not schema.named and not schema.usual and schema.match(keys) == match:
        return ()
    taken = "; ".join(f"{field}: {name}" for field, name in match.names.items())
    notes = [f"columns   {path}: {taken}; between them {SEPARATORS.get(form.separator, repr(form.separator))}"]
    if first is not None:
        notes.append(f"columns   {path}: without names; the first line is a row: {short(', '.join(first))}")
    return tuple(notes)

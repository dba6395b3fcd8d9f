"""How the cells of a table are separated, and whether quotes stand around them: the one place of this rule.

A file is a table of cells
    by its name         `.csv`
    by its first line   `sep=;`, as Excel writes it; or names of columns with tabs, or with `,` `;` `|` between
    by a flag           `--separator`, `--text_column` and its kin
and quotes around its cells are RFC 4180's, as spreadsheets write them, except where it is certain that they are text. In
GLUE's TSV files they are: a cell may begin with a quote that is never closed. So with tabs, quotes stand around cells
    where the separator is said, by a flag or by `sep=`; in a `.csv` file, and one of UTF-16 (Excel's "Unicode text")
    where the names in the first line stand in quotes
    where every quote of the file is at its place by RFC 4180, and either only so all rows have as many cells as the first,
    or all cells in quotes need them, for they hold a quote
and are text
    where there are none around a cell, or one is not at its place
    where no cell in quotes needs them
Anything else, such as a quote that opens in one line and one that closes in a later one, is refused: `--quotes cells` or
`--quotes text` says it. Imports no framework.
"""

import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from trainer.data.guesses import are_known, are_names
from trainer.data.layout import CELLS, TEXT, Layout
from trainer.data.schema import Schema
from trainer.data.source import AnyPath, Source, suffix
from trainer.errors import Mistake, short

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
ANNOUNCED = re.compile(r'"?sep=([^\w\s"]|\t)"?', re.I)
LOOKED_AT = 50  # rows, for the separator
# A cell by RFC 4180 and what ends it: matched where no quote is out of place
CELL = re.compile(r'("(?:[^"]++|"")*+"|[^\t\r\n"]*+)(\t|\r?\n|\Z)')

Cells = Iterator[tuple[int, list[str]]]  # (line number where the row begins, its cells)


class Dialect(NamedTuple):
    """How cells are written."""

    separator: str
    quoted: bool  # around cells; else quotes are text, and a row is a line
    announced: bool = False  # by a first line `sep=;`


def dialect_of(source: Source, layout: Layout, schema: Schema, complete: Schema) -> Dialect | None:
    """Returns how the cells of a file are written; None where it is no table of cells.

    Args:
        source: The file.
        layout: What the user says of it.
        schema: The fields to look for.
        complete: Likewise, the gold value among them where it is not asked for, too: a text alone may well have a comma.

    Raises:
        Mistake: It cannot be told.
    """
    first = next((line.rstrip("\r\n") for line in io.StringIO(source.text, newline="")), "")
    if announced := ANNOUNCED.fullmatch(first):
        return Dialect(announced[1], quoted=True, announced=True)
    if layout.separator:
        return Dialect(layout.separator, quoted=layout.separator != "\t" or layout.quotes != TEXT)
    said = bool(schema.named)
    if suffix(source.path) == ".csv":
        separator = _separator(source, schema, layout)
        return Dialect(separator, quoted=separator != "\t" or layout.quotes != TEXT)
    if "\t" in first:
        header = [cell.strip().removeprefix('"').removesuffix('"') for cell in first.split("\t")]
        numbers = any(name.isdecimal() for name in schema.usual.values())
        if not (said or numbers or schema.match(header, guess=True) or any(schema.missing(header).values())):
            return None
        return Dialect("\t", quoted=_are_around_cells(source, first, layout))
    if first.casefold() == "text" and not schema.target:
        return Dialect("\t", quoted=_are_around_cells(source, first, layout))
    for separator in dict.fromkeys((layout.usual_separator or "") + ",;|"):
        header = _header(source.text, separator)
        if len(header) > 1 and any(fields.match(header) for fields in _certain(schema, complete)):
            return Dialect(separator, quoted=True)
        asked = schema if are_known(header) else complete
        if len(header) > 1 and are_names(header) and asked.match(header, guess=True):
            return Dialect(separator, quoted=True)
    return Dialect(_separator(source, schema, layout), quoted=True) if said else None


def cells(source: Source, dialect: Dialect) -> Cells:
    """Yields the cells of each row; empty rows at the end are dropped.

    Raises:
        Mistake: A quote out of place, or an empty row amid others.
    """
    rows = _quoted(source.path, source.text, dialect.separator) if dialect.quoted else _plain(source)
    if dialect.announced:
        next(rows, None)
    empty = None
    for number, row in rows:
        if not row or (len(row) > 1 and not any(cell.strip() for cell in row)):
            empty = empty or number
            continue
        if empty:
            raise Mistake(f"{source.path}:{empty}: expected a row, found an empty line")
        yield number, row


def _certain(schema: Schema, complete: Schema) -> list[Schema]:
    return [complete] if schema.single else [complete, schema]


def _plain(source):
    return ((number, line.split("\t")) for number, line in source.lines())


def _quoted(path: AnyPath, text: str, separator: str) -> Cells:
    """Yields the rows of RFC 4180: cells that hold the separator, quotes or line breaks stand in quotes."""
    # The limit, 131,072 characters, is the module's, of all readers: it is only ever raised, to what the text may need.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 1
    try:
        for row in reader:
            yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        if "end of data" in str(error):
            what = "the quote that a cell of this row begins with to be closed, found the end of the file"
        else:
            name = SEPARATORS.get(separator, "").removesuffix("s") or repr(separator)
            what = f"a {name} or a line's end after the quote that closes a cell, found more text; a quote in it is written twice"
        raise Mistake(f"{path}:{number}: expected {what}") from None


def _header(text: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(_quoted("", text, separator), (1, []))[1]]
    except Mistake:
        return []


def _separator(source: Source, schema: Schema, layout: Layout) -> str:
    """Returns what separates the cells of a file that is certainly a table: what makes its first line names of columns, else
    what gives all of the first rows as many cells."""
    usual = layout.usual_separator
    if usual and len(_header(source.text, usual)) > 1:
        return usual
    headers = {separator: _header(source.text, separator) for separator in SEPARATORS}
    several = {separator: header for separator, header in headers.items() if len(header) > 1}
    if len(several) < 2:
        return next(iter(several), ",")
    for matching in (lambda header: schema.match(header, guess=True), are_names):
        fitting = [separator for separator, header in several.items() if matching(header)]
        if len(fitting) == 1:
            return fitting[0]
    even = [separator for separator in several if _is_even(source.text, separator)]
    if len(even) == 1:
        return even[0]
    names = " or ".join(SEPARATORS[separator] for separator in several)
    found = short(source.text.split("\n", 1)[0].rstrip("\r"))
    raise Mistake(
        f"{source.path}:1: expected cells of which it is certain whether {names} separate them, found {found}; --separator says it"
    )


def _is_even(text, separator):
    try:
        return len({len(row) for _, row in islice(_quoted("", text, separator), LOOKED_AT) if any(row)}) == 1
    except Mistake:
        return False


def _are_around_cells(source: Source, first: str, layout: Layout) -> bool:
    """Says whether quotes stand around tab-separated cells; see above."""
    text = source.text
    if layout.quotes:
        return layout.quotes == CELLS
    if source.encoding == "utf-16" or re.match(r'"(?:[^"]|"")*"(?:\t|$)', first):
        return True
    if not re.search(r'(?:\A|[\t\n])"', text):
        return False
    width = first.count("\t") + 1
    quoted = _cells_in_quotes(text, width)
    if quoted is None:
        return False
    if any(line.count("\t") + 1 != width for line in text.rstrip("\r\n").split("\n")):
        return True
    needing = ['""' in cell or "\r" in cell for cell in quoted]
    if not any("\t" in cell or "\n" in cell for cell in quoted) and len({*needing}) == 1:
        return needing[0]
    raise Mistake(
        f"{source.path}: expected quotes of which it is certain whether they stand around cells, as in CSV, or are text, as in "
        "GLUE's files, found some that may be either; --quotes cells or --quotes text says it"
    )


def _cells_in_quotes(text: str, width: int) -> list[str] | None:
    """Returns what stands in quotes around it, cell by cell; None where a quote is out of place or a row of another width."""
    text, place, column = text.rstrip("\r\n"), 0, 1
    quoted = []
    while match := CELL.match(text, place):
        cell, end = match.groups()
        if cell.startswith('"'):
            quoted.append(cell[1:-1])
        if end != "\t" and column != width:
            return None
        column = column + 1 if end == "\t" else 1
        place = match.end()
        if not end:
            return quoted
    return None

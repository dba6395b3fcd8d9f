"""Parquet to records, where pyarrow is installed. Imports no framework."""

import io
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from trainer.data.schema import Schema
from trainer.data.source import AnyPath, suffix
from trainer.data.table import Record, Table
from trainer.errors import Mistake


def is_parquet(path: AnyPath) -> bool:
    """Says whether a file is Parquet by its name."""
    return suffix(path) == ".parquet"


def table(path: AnyPath, content: bytes, schema: Schema) -> Table:
    """Returns the rows of a file, read in batches.

    Args:
        path: For messages.
        content: Of the file.
        schema: The fields to look for.

    Raises:
        Mistake: pyarrow is not installed; the file is no Parquet, or has no columns of these names.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise Mistake(f"{path}: expected pyarrow to read Parquet (pip install pyarrow), found none") from None
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError) as error:
        raise Mistake(
            f"{path}: expected Parquet, found another form or a damaged file ({_first_line(error)})"
        ) from None
    names = list(file.schema_arrow.names)
    match = schema.match(names, guess=True)
    if not match:
        raise Mistake(
            f"{path}: expected columns {schema.expected}, found {', '.join(names)}; --text_column and its kin name others"
        )
    notes: tuple[str, ...] = ()
    if schema.match(names) != match or schema.named:
        notes = (f"columns   {path}: {'; '.join(f'{field}: {name}' for field, name in match.names.items())}",)
    return Table(_records(path, file, pyarrow), one_line=False, match=match, notes=notes)


def _records(path: AnyPath, file: Any, pyarrow: ModuleType) -> Iterator[Record]:
    number = 0
    try:
        for batch in file.iter_batches():
            for values in batch.to_pylist():
                number += 1
                yield Record(f"{path}: row {number}", {name: _plain(value) for name, value in values.items()})
    except (pyarrow.ArrowException, OSError) as error:
        raise Mistake(
            f"{path}: expected Parquet, found a damaged file after row {number} ({_first_line(error)})"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _plain(value: Any) -> Any:
    """Returns a value as JSON has it: dates, decimals and bytes as text."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return value

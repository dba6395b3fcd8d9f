"""What a user says of a file that it does not say itself: names of columns, encoding, separator, quotes. Imports no framework."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trainer.data.schema import Schema

CELLS, TEXT = "cells", "text"  # what `--quotes` says
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|"}  # what `--separator` says


@dataclass(frozen=True)
class Layout:
    """What a user says of a file; `usual` is what was said of the data that a run was trained on.

    Args:
        named: {field: name or number of its column}.
        encoding: Of a file that is not UTF-8.
        separator: Of cells.
        quotes: Of tab-separated cells: `cells`, they stand around cells, as spreadsheets write them; `text`, they are text.
        usual: {field: name or number of its column}, taken where the file has such columns.
        usual_separator: Taken where it makes several cells of the first line.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    separator: str | None = None
    quotes: str | None = None
    usual: Mapping[str, str] = field(default_factory=dict)
    usual_separator: str | None = None

    def schema(self, inputs: Sequence[tuple[str, ...]], target: str | None) -> Schema:
        """Returns the schema of fields, with the columns that are said to hold them."""
        asked = {*(field for fields in inputs for field in fields), target}
        of_asked = lambda names: {field: name for field, name in names.items() if field in asked}
        return Schema(inputs, target, of_asked(self.named), of_asked(self.usual))

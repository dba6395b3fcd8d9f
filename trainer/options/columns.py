"""The options of commands that read tables: which columns hold the fields, and what a file does not say of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.data import layout
from trainer.data.layout import Layout
from trainer.errors import Mistake
from trainer.options.checks import one_of
from trainer.tasks.table import Task

FIELDS = ("text", "text_b", "premise", "hypothesis", "question", "context", "words", "source", "target", "label")


@dataclass(kw_only=True)
class Columns:
    """Columns of a table"""

    text_column: str | int | None = None
    """Name, or number from 1, of the column of the texts (default: text, sentence, ..., or the only one with a name that people give to such). Where all are numbers, the first line may be a row. Of JSON and Parquet a name."""
    text_b_column: str | int | None = None
    """Likewise, of the second texts."""
    premise_column: str | int | None = None
    """Likewise, of nli."""
    hypothesis_column: str | int | None = None
    """Likewise."""
    question_column: str | int | None = None
    """Likewise, of qa."""
    context_column: str | int | None = None
    """Likewise."""
    words_column: str | int | None = None
    """Likewise, of tagging: words with spaces between, or a list in JSON."""
    source_column: str | int | None = None
    """Likewise, of translation."""
    target_column: str | int | None = None
    """Likewise, what the source is translated to."""
    label_column: str | int | None = None
    """Likewise, of what is right: the label, of tagging the tags, of qa the text of the answer."""
    encoding: str | None = None
    """Of a file that is not UTF-8 (nor UTF-16 with a mark, as spreadsheets write it): gb18030, latin-1, ..."""
    separator: str = ""  # not None, for which YAML has `~`
    """What separates cells where it cannot be told: comma, semicolon, tab, bar, or any other character."""
    quotes: str | None = None
    """What quotes are in tab-separated columns where it cannot be told: cells (they stand around cells, as in CSV) or text."""

    def check_columns(self) -> None:
        check_layout(self.encoding, self.separator, self.quotes)
        for field in FIELDS:
            value = getattr(self, f"{field}_column")
            if value is not None and (not str(value).strip() or str(value) == "0"):
                raise Mistake(f"--{field}_column: expected a name, or a number from 1, received {value!r}")

    def layout(self, task: Task, task_name: str, usual: Mapping[str, Any] | None = None) -> Layout:
        """Returns what these options say of the files of a task.

        Args:
            task: Whose fields they name.
            task_name: For messages.
            usual: Options of the run that answers: those of the data that it was trained on.

        Raises:
            Mistake: A column of a field that the task does not have.
        """
        usual = usual or {}
        names = {field: getattr(self, f"{field}_column") for field in FIELDS}
        named = names_of(names, task, task_name)
        before = names_of({field: usual.get(f"{field}_column") for field in FIELDS}, task, task_name)
        return Layout(
            named,
            self.encoding or usual.get("encoding"),
            separator_of(self.separator),
            self.quotes or usual.get("quotes"),
            {field: name for field, name in before.items() if field not in named},
            separator_of(usual.get("separator")),
        )


def names_of(columns: Mapping[str, str | int | None], task: Task, task_name: str) -> dict[str, str]:
    """Returns {field of a task: its column} of what is given for `FIELDS`.

    Raises:
        Mistake: The task has no such field.
    """
    named = {}
    for name, column in columns.items():
        if column is None:
            continue
        if name not in ("label", task.target, *task.fields):
            raise Mistake(
                f"--{name}_column: expected columns of {', '.join(task.fields)} or label for {task_name}, received one of {name}"
            )
        named[task.target if name == "label" else name] = str(column)
    return named


def check_layout(encoding: str | None, separator: str | None, quotes: str | None) -> None:
    """Refuses an encoding that Python does not know, a separator that is none, another word for quotes.

    Raises:
        Mistake: It names the option.
    """
    one_of("quotes", quotes, (None, layout.CELLS, layout.TEXT))
    separator_of(separator)
    try:
        "a".encode(encoding or "utf-8")
    except (LookupError, ValueError):
        raise Mistake(f"--encoding: expected a name such as gb18030 or latin-1, received {encoding}") from None


def separator_of(name: str | None) -> str | None:
    """Returns the character that --separator means.

    Raises:
        Mistake: It can separate no cells.
    """
    separator = layout.SEPARATORS.get(name, name) if name else None
    if separator and (len(separator) != 1 or separator.isalnum() or separator in '"\r\n.'):
        raise Mistake(f"--separator: expected comma, semicolon, tab, bar or a character, received {name}")
    return separator

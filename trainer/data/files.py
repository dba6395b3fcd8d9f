"""Files to rows: a row is a dict of the task's fields and its gold value. Imports no framework.

Texts are read in these forms, told apart by the file itself (one that ends in .gz is unpacked; `-` is standard input):
    JSON                  {"text": "a fine film", "label": "positive"} a line, or a list of such objects  (.jsonl, .json)
    Parquet               where pyarrow is installed  (.parquet)
    CSV, TSV              first line `sentence<TAB>label`, columns by name, see `trainer.data.dialect`  (the first line names them)
    lines                 `1 a fine film`, or `a fine film` where no labels are asked for   (anything else)
Where lines could be either, with a label or without, nothing is guessed: `--lines labelled` or `--lines texts` says it.

Tagged sentences are read in two more instead of the last two: CoNLL-U and columns, see `trainer.data.conll`. Questions with
their answers are read from SQuAD's JSON, too, see `trainer.data.squad`.

Texts and what they are translated to are read from two files, too, named as one, see `trainer.data.parallel`.

Each form is one module that turns a `Source` into a `Table` of records: `json_objects`, `parquet`, `columns`, `plain_lines`.
`rows` turns records into rows and checks them, whichever form they came from; `schema` knows the names of columns, `guesses`
those that people use, `layout` is what a user says of them; `labels` knows the names of labels.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trainer import paired
from trainer.data import classes, columns, conll, json_objects, parallel, parquet, plain_lines, rows, squad
from trainer.data.json_objects import is_json
from trainer.data.labels import ANY, labels_of
from trainer.data.layout import Layout
from trainer.data.plain_lines import LABELLED, TEXTS
from trainer.data.rows import Columns, Parsed
from trainer.data.schema import Row, Schema
from trainer.data.source import AnyPath, Source, content, suffix
from trainer.data.table import Sheet, Table
from trainer.errors import Mistake, short
from trainer.progress import say
from trainer.tasks.options import checked
from trainer.tasks.table import Task

__all__ = [
    "ANY",
    "LABELLED",
    "TEXTS",
    "Given",
    "Layout",
    "content",
    "given",
    "has_named_columns",
    "is_json",
    "labels_of",
    "read",
]


@dataclass(frozen=True)
class Given:
    """What a file gave: rows, and beside each all that the file said there."""

    rows: list[Row]
    columns: list[Columns | None]
    sheet: Sheet | None  # how its cells were written; None: it is no table of cells


def has_named_columns(path: AnyPath) -> bool:
    """Says whether the columns of a file have names, by the file's name: --column, a number, is not for it."""
    return is_json(path) or parquet.is_parquet(path) or suffix(path) == ".csv"


def read(
    path: AnyPath,
    task: Task,
    labels: Sequence[str] | None = None,
    *,
    limit: int | None = None,
    inputs: Sequence[tuple[str, ...]] | None = None,
    column: str | int | None = None,
    lines: str | None = None,
    layout: Layout | None = None,
    remedy: str = "",
) -> list[Row]:
    """Reads and checks a file, up to its end or `limit`; nothing is trained on one that has a malformed line.

    Args:
        path: The file, UTF-8; `-` for standard input.
        task: What the rows are for. Its labels, if it has any, are what a line may begin with where `labels` is None.
        labels: Known label names; a row's label must be one of them, or the number of one. `ANY`: whatever it says. None:
            inputs alone.
        limit: Return at most so many rows; where they have labels, all are read, to say if the rest has other shares.
        inputs: Alternatives of fields, [(name, ...), ...]; the first that the first row has is taken. Default: the task's.
        column: Of the tags, see `trainer.data.conll.sentences`.
        lines: What lines without column names are: `labelled` or `texts`; None: the lines themselves must leave no doubt.
        layout: What the user says of a table: names of columns, encoding, ...
        remedy: What the message about other shares beyond the limit ends with.

    Returns:
        The rows: each has the fields of one of the task's inputs and, unless `labels` is None, its target: a label name, or a
        tag for every word (then beside `words`, `text` and `spans`, see `trainer.data.conll`), or a list of answers (beside
        `id`, see `trainer.data.squad`).

    Raises:
        Mistake: No such file, no rows, or a malformed line; names file, line number, what was found and expected.
    """
    schema, layout = _schema(task, labels, inputs, layout)
    name, parsed, table = _read(path, schema, task, labels, column, lines, layout)
    notes = table.notes if table else ()
    return [row for row, _ in _first(parsed, limit, name, schema, task, remedy, notes)]


def given(
    path: AnyPath,
    task: Task,
    labels: Sequence[str] | None = None,
    *,
    limit: int | None = None,
    inputs: Sequence[tuple[str, ...]] | None = None,
    column: str | int | None = None,
    lines: str | None = None,
    layout: Layout | None = None,
) -> Given:
    """Reads a file as `read` does, and keeps all of its columns, to be returned beside answers; rows have those of the task's
    options that the file has columns of."""
    schema, layout = _schema(task, labels, inputs, layout)
    name, parsed, table = _read(path, schema, task, labels, column, lines, layout)
    kept = [*_first(parsed, limit, name, schema, task, "", table.notes if table else ())]
    options = lambda columns: checked(columns.values if columns else {}, task.options, before=f"{name}: ")
    return Given(
        [options(columns) | row for row, columns in kept],
        [columns for _, columns in kept],
        table.sheet if table else None,
    )


def _schema(task, labels, inputs, layout):
    target = None if labels is None else task.target
    if target == "tags":
        inputs = [("words",)]
    layout = layout or Layout()
    return layout.schema(inputs or [fields for _, fields in task.inputs], target), layout


def _read(
    path: AnyPath,
    schema: Schema,
    task: Task,
    labels: Sequence[str] | None,
    column: str | int | None,
    lines: str | None,
    layout: Layout,
) -> tuple[AnyPath, Iterator[Parsed], Table | None]:
    """Returns the name of a file for messages, its rows, and the table that they are in, if they are."""
    if paired.is_pair(path):
        both = parallel.table(path, schema, layout.encoding)
        return path, rows.labelled(both, schema, task, labels), both
    source = Source.read(path, layout.encoding)
    return source.path, *_parsed(source, schema, task, labels, column, lines, layout)


def _parsed(
    source: Source,
    schema: Schema,
    task: Task,
    labels: Sequence[str] | None,
    column: str | int | None,
    lines: str | None,
    layout: Layout,
) -> tuple[Iterator[Parsed], Table | None]:
    """Returns the rows, and the table that they are in, if they are."""
    table: Table | None
    if json_objects.holds_json(source):
        table = json_objects.table(source, schema)
    elif parquet.is_parquet(source.path):
        table = parquet.table(source.path, source.content, schema)
    elif task.target == "tags" and not (suffix(source.path) == ".csv" or layout.separator or schema.named):
        return _treebank(source, schema, column, layout)
    else:
        table = columns.table(source, schema, layout, task.target)
    if task.target == "answers":
        if table is None or json_objects.holds_json(source):
            return _questions(source, schema), None
        return rows.asked(table, schema), table
    if task.target == "tags":
        if column:
            raise Mistake(f"--column: expected for CoNLL-U and columns, received {column} for {source.path}")
        table = table or _lines(source, schema, task, labels, lines)
        return rows.tagged(table, schema), table
    if table is None:
        table = _lines(source, schema, task, labels, lines)
    return rows.labelled(table, schema, task, labels), table


def _lines(source: Source, schema: Schema, task: Task, labels: Sequence[str] | None, form: str | None) -> Table:
    """Returns the records of lines without names of columns."""
    lines, path = source.lines(), source.path
    if schema.target == "target" and lines:
        raise Mistake(
            f"{path}:1: expected columns named {schema.expected} (or JSON lines in a .jsonl file, or two files with a line for each "
            f"other, as train.{{de,en}}), found {short(lines[0][1])}; --source_column and --target_column give other names, or numbers"
        )
    if form is None:
        plain_lines.check(path, lines, schema, task, labels)
    if schema.single and not schema.target and form != LABELLED:
        return plain_lines.texts(path, lines, schema.single)
    return plain_lines.labelled(path, lines, schema, task.target)


def _treebank(
    source: Source, schema: Schema, column: str | int | None, layout: Layout
) -> tuple[Iterator[Parsed], Table | None]:
    """Returns the rows of tagged sentences; without a target in the schema, of words or of texts, perhaps in a table."""
    path = source.path
    if schema.target or suffix(path) in (".conllu", ".conll"):
        sentences = conll.sentences(source.lines(blank=True), path, column, tagged=bool(schema.target))
        return (Parsed(row if schema.target else {"words": row["words"]}) for row in sentences), None
    texts = Schema([("text",)])
    table = columns.table(source, texts, layout, "tags") or plain_lines.texts(path, source.lines(), "text")
    return rows.tagged(table, texts), table


def _questions(source: Source, schema: Schema) -> Iterator[Parsed]:
    """Returns the rows of questions in JSON; its columns are those of objects that hold question and context alike."""
    names = {**schema.usual, **schema.named}
    for place, number, question, paragraph in squad.asked(
        source.content, source.path, names.get("question", "question")
    ):
        said = None
        if question is paragraph and isinstance(question, dict):
            there = {field: name for field, name in names.items() if name in question}
            fields = {field: there.get(field, field) for field in ("question", "context", "answers")}
            said = Columns(question, {field: name for field, name in fields.items() if name in question})
            question = paragraph = question | {field: question[name] for field, name in there.items()}
        yield Parsed(squad.row_of(question, paragraph, number, place, answered=bool(schema.target)), said)


def _first(
    parsed: Iterable[Parsed],
    limit: int | None,
    path: AnyPath,
    schema: Schema,
    task: Task,
    remedy: str,
    notes: Sequence[str],
) -> Iterator[tuple[Row, Columns | None]]:
    """Yields the first rows and their columns, and says what was left out and whether the rest has other labels."""
    number, unlabelled, first, rest = 0, 0, Counter[str](), Counter[str]()
    counted = schema.target == "label"
    for row, said in parsed:
        if row is None:
            unlabelled += 1
            continue
        if counted and limit is not None:
            (first if number < limit else rest)[row["label"]] += 1
        if number != limit:
            number += 1
            yield row, said
        if number == limit and not counted:
            break
    left_out = f"without a gold label ({' or '.join(task.unlabelled)}) and left out: {unlabelled}" if unlabelled else ""
    if not number:
        raise Mistake(f"{path}: expected rows of {schema.expected}, found none" + (left_out and f"; {left_out}"))
    for note in notes:
        say(note)
    if left_out:
        say(f"{path}: rows {left_out}")
    if rest:
        classes.tell_shares(path, first, first + rest, remedy)

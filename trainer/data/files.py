"""Files to rows: a row is a dict of the task's fields and its gold value. Imports no framework.

Texts are read in three forms, told apart by the file itself (one that ends in .gz is unpacked; `-` is standard input):
    JSON                  {"text": "a fine film", "label": "positive"} a line, or a list of such objects  (.jsonl, .json)
    tab-separated, GLUE   first line `sentence<TAB>label`, columns by name   (the first line names them)
    lines                 `1 a fine film`, or `a fine film` where no labels are asked for   (anything else)
Where lines could be either, with a label or without, nothing is guessed: `--lines labelled` or `--lines texts` says it.

Tagged sentences are read in two more instead of the last two: CoNLL-U and columns, see `trainer.data.conll`. Questions with
their answers are read from SQuAD's JSON or from JSON lines, see `trainer.data.squad`.

Each form is one module that turns a `Source` into a `Table` of records: `json_objects`, `columns`, `plain_lines`. `rows`
turns records into rows and checks them, whichever form they came from; `schema` knows the names of columns, `labels` those
of labels.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from trainer.data import classes, columns, conll, json_objects, plain_lines, rows, squad
from trainer.data.json_objects import is_json
from trainer.data.labels import ANY, labels_of
from trainer.data.plain_lines import LABELLED, TEXTS
from trainer.data.schema import Row, Schema
from trainer.data.source import AnyPath, Source, content, suffix
from trainer.errors import Mistake
from trainer.progress import say
from trainer.tasks.table import Task

__all__ = ["ANY", "LABELLED", "TEXTS", "content", "is_json", "labels_of", "read"]


def read(
    path: AnyPath,
    task: Task,
    labels: Sequence[str] | None = None,
    *,
    limit: int | None = None,
    inputs: Sequence[tuple[str, ...]] | None = None,
    column: str | int | None = None,
    lines: str | None = None,
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
        remedy: What the message about other shares beyond the limit ends with.

    Returns:
        The rows: each has the fields of one of the task's inputs and, unless `labels` is None, its target: a label name, or a
        tag for every word (then beside `words`, `text` and `spans`, see `trainer.data.conll`), or a list of answers (beside
        `id`, see `trainer.data.squad`).

    Raises:
        Mistake: No such file, no rows, or a malformed line; names file, line number, what was found and expected.
    """
    target = None if labels is None else task.target
    if target == "tags":
        inputs = [("words",)]
    schema = Schema(inputs or [fields for _, fields in task.inputs], target)
    if suffix(path) == ".csv":
        raise Mistake(columns.no_csv(path, schema))
    source = Source.read(path)
    parsed: Iterator[Row | None]
    if task.target == "tags":
        parsed = _tagged(source, schema, column)
    elif task.target == "answers" and (target or json_objects.holds_json(source)):
        parsed = squad.questions(source.content, source.path, answered=bool(target))
    else:
        parsed = _labelled(source, schema, task, labels, lines)
    return _first(parsed, limit, source.path, schema, task, remedy)


def _labelled(
    source: Source, schema: Schema, task: Task, labels: Sequence[str] | None, form: str | None
) -> Iterator[Row | None]:
    """Returns the rows of texts, with their labels where the schema has a target; None for a row without a gold label."""
    if json_objects.holds_json(source):
        return rows.labelled(json_objects.table(source, schema), schema, task, labels)
    lines, path = source.lines(), source.path
    table = columns.table(path, lines, schema)
    if table is None:
        if lines:
            columns.refuse_csv(path, lines[0][1], schema, task.target)
        if form is None:
            plain_lines.check(path, lines, schema, task, labels)
        if schema.single and not schema.target and form != LABELLED:
            table = plain_lines.texts(path, lines, schema.single)
        else:
            table = plain_lines.labelled(path, lines, schema, task.target)
    return rows.labelled(table, schema, task, labels)


def _tagged(source: Source, schema: Schema, column: str | int | None) -> Iterator[Row]:
    """Returns the rows of tagged sentences; without a target in the schema, of words or of texts."""
    path = source.path
    if json_objects.holds_json(source):
        if column:
            raise Mistake(f"--column: expected for CoNLL-U and columns, received {column} for {path}")
        return rows.tagged(json_objects.table(source, schema), schema)
    if schema.target or suffix(path) in (".conllu", ".conll"):
        sentences = conll.sentences(source.lines(blank=True), path, column, tagged=bool(schema.target))
        return (row if schema.target else {"words": row["words"]} for row in sentences)
    lines, texts = source.lines(), Schema([("text",)])
    return rows.tagged(columns.table(path, lines, texts) or plain_lines.texts(path, lines, "text"), texts)


def _first(
    parsed: Iterable[Row | None], limit: int | None, path: AnyPath, schema: Schema, task: Task, remedy: str
) -> list[Row]:
    """Returns the first rows, and says what was left out and whether the rest has other labels."""
    target = schema.target
    kept: list[Row] = []
    unlabelled, rest = 0, Counter[str]()
    for row in parsed:
        if row is None:
            unlabelled += 1
        elif len(kept) != limit:
            kept.append(row)
        else:  # of rows with labels
            rest[row["label"]] += 1
        if len(kept) == limit and target != "label":
            break
    left_out = f"without a gold label ({' or '.join(task.unlabelled)}) and left out: {unlabelled}" if unlabelled else ""
    if not kept:
        raise Mistake(f"{path}: expected rows of {schema.expected}, found none" + (left_out and f"; {left_out}"))
    if left_out:
        say(f"{path}: rows {left_out}")
    if rest:
        first = Counter(row["label"] for row in kept)
        classes.tell_shares(path, first, first + rest, remedy)
    return kept

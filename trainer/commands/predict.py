"""`python -m trainer predict RUN`: answers to texts, a JSON object a line."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from trainer import answerers
from trainer.answerers import Answerer
from trainer.data import answered, files
from trainer.data.schema import Row
from trainer.errors import Failure, Mistake
from trainer.options import Predict
from trainer.pretraining.word_vectors import vectors_of
from trainer.runs.folder import method_of
from trainer.tasks.table import answers, requests
from trainer.writing import check, json_line, opened, write


def run(options: Predict) -> None:
    if method_of(Path(options.run)) == "word2vec":
        _neighbours(options)
        return
    trained = answerers.load(options.run, **options.answering())
    said = options.options(trained.task, trained.task_name)
    if options.signature and options.signature not in trained.task.more:
        expected = f"one of {', '.join(trained.task.more)}" if trained.task.more else f"none for {trained.task_name}"
        raise Mistake(f"--signature: expected {expected}, received {options.signature}")
    if options.plot and not trained.draw:
        raise Mistake(f"--plot: expected for translation, received for {options.run}, a run of {trained.task_name}")
    layout = options.layout(trained.task, trained.task_name, trained.lineage["options"])
    inputs = {"--input": options.input, "the run": options.run} if options.input else {"the run": options.run}
    if options.plot:
        check(options.plot, inputs, "--plot")
        if not os.path.isdir(os.path.dirname(os.path.realpath(options.plot))):
            raise Mistake(f"--plot {options.plot}: expected a file in a folder that is there")
    with opened(options.output, inputs) as file:
        if options.input:
            task = replace(trained.task, labels=tuple(trained.labels))  # which a line may begin with
            given = files.given(options.input, task, inputs=trained.inputs, lines=options.lines, layout=layout)
        else:
            rows = rows_of(options, trained)
            given = files.Given(rows, [None] * len(rows), None)
        if options.plot:
            _draw(options.plot, trained, given.rows)
        rows = [said | row for row in given.rows]
        answers = predict(trained, rows, signature=options.signature, batch_size=options.batch_size)
        answered.write(file, options.output, given, answers)


def _draw(path, trained, rows):
    content = trained.draw(rows)
    try:
        write(path, content)
    except OSError as error:
        raise Failure(f"--plot {path}: cannot be written ({error.strerror or error})") from None


def _neighbours(options):
    """Prints the words that are most like those of --text, of a run of word2vec.

    Raises:
        Mistake: Another input, or a word that it does not know.
    """
    given = options.given()
    if options.plot:
        raise Mistake(f"--plot: expected for translation, received for {options.run}, a run of word2vec")
    if tuple(given) != ("text",):
        raise Mistake("a run of word2vec answers --text, a word each; received others")
    vectors = vectors_of(Path(options.run))
    if unknown := [word for word in given["text"] if word.lower() not in vectors.ids]:
        raise Mistake(
            f"--text {unknown[0]}: expected a word of the {len(vectors.ids):,} that the run knows, received another"
        )
    with opened(options.output, {"the run": options.run}) as file:
        for word in given["text"]:
            found = [{"word": other, "score": score} for other, score in vectors.neighbours(word.lower())]
            file.write(json_line({"text": word, "neighbours": found}) + "\n")


def rows_of(options: Predict, trained: Answerer) -> list[Row]:
    """Returns the rows that are given by their fields."""
    given = options.given()
    if tuple(given) not in trained.inputs:
        expected = ", or ".join(f"--{' and --'.join(fields)}" for fields in trained.inputs)
        raise Mistake(f"this run answers {expected}; received --{' and --'.join(given)}")
    if options.words:
        return [given]
    if len({len(values) for values in given.values()}) > 1:
        received = ", ".join(f"{len(values)} --{name}" for name, values in given.items())
        raise Mistake(f"expected as many of each, received {received}")
    return [dict(zip(given, values, strict=True)) for values in zip(*given.values(), strict=True)]


def predict(run: Answerer, rows: list[Row], *, signature: str | None = None, batch_size: int) -> Iterator[Row]:
    """Answers rows in order.

    Args:
        run: That answers.
        rows: Dicts with the fields of one of the task's inputs.
        signature: One of the task's `more`, instead of that of the input.
        batch_size: Rows at once.

    Yields:
        A dict for each row, with the same keys as the client's.
    """
    functions = run.functions()
    for name, inputs, batch in requests(run.task, rows, batch_size, signature):
        outputs = functions[name](*[tf.constant(values) for values in inputs.values()])
        yield from answers(run.task, batch, {output: tensor.numpy() for output, tensor in outputs.items()})

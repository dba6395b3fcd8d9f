"""`python -m trainer evaluate RUN`: scores of a run, or of a file of answers, on a labelled file."""

import json
import os
import time
from typing import Any

from trainer.data import answered, datasets, files, squad
from trainer.errors import Mistake
from trainer.options import Evaluate
from trainer.progress import say
from trainer.tasks.table import TASKS
from trainer.writing import AnyPath, check, is_plain, opened, print_json


def run(options: Evaluate) -> None:
    if options.run.endswith(".json") and not os.path.isdir(options.run):
        print_json(score_answers(options))
        return
    if options.output:
        check(options.output, {"--data": options.data, "the run": options.run})
        if not os.path.isdir(os.path.dirname(os.path.realpath(options.output))):
            raise Mistake(f"--output {options.output}: expected a file in a folder that is there")
    print_json(evaluate(options))


def score_answers(options: Evaluate) -> dict[str, Any]:
    """Returns the scores of a file of answers {id: answer}, as the official scripts read it."""
    if options.column or options.null_threshold is not None or options.output:
        raise Mistake(f"expected --data and --limit beside a file of answers ({options.run}), received more")
    path = datasets.path_of(options.data, "dev", "qa")
    rows = files.read(path, TASKS["qa"], files.ANY, limit=options.limit, layout=options.layout(TASKS["qa"], "qa"))
    return squad.score_file(files.content(options.run), options.run, rows)


def evaluate(options: Evaluate) -> dict[str, Any]:
    """Scores a run on a labelled file, and writes its predictions to --output, if that is given.

    Args:
        options: Checked.

    Returns:
        The scores, by name.
    """
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer.runs.run import Run

    run = Run(options.run, null_threshold=options.null_threshold)
    path = datasets.path_of(options.data, "dev", run.task_name)
    column = options.column or (None if files.has_named_columns(path) else run.column)
    layout = options.layout(run.task, run.task_name, run.lineage["options"])
    as_table = answered.is_table(options.output) and run.task.target not in ("tags", "answers")
    if options.output and options.output.endswith(".csv") and not as_table:
        raise Mistake(
            f"--output {options.output}: expected another ending for {run.task_name}; `predict --output` writes CSV"
        )
    inputs: dict[str, AnyPath] = {"--data": path, "the run": options.run}
    # Further files lie beside the first one, under its name with other endings
    stem = os.path.splitext(options.output)[0] if options.output and is_plain(options.output) else None
    if stem:
        check(f"{stem}.null_odds.json", inputs)
    with opened(options.output, inputs) as file:
        labels, fields = run.setup.labels, [run.fields]
        given = files.given(path, run.task, labels, inputs=fields, limit=options.limit, column=column, layout=layout)
        scorer = run.scorer(given.rows, options.batch_size)
        say(f"data      {path}: {scorer}")
        began = time.monotonic()
        result = {"task": run.task_name, "data": str(path), **scorer()}
        if options.output:
            (_, content), *rest = scorer.predictions(options.output, column).items()
            if run.task.target in ("tags", "answers"):
                file.write(content)
            else:
                predictions = map(json.loads, content.removesuffix("\n").split("\n"))
                answered.write(file, options.output, given, predictions)
            for ending, content in rest if stem else ():
                with opened(f"{stem}{ending}", inputs) as further:
                    further.write(content)
        return result | scorer.variants() | {"seconds": round(time.monotonic() - began, 1)}

"""`python -m trainer evaluate RUN`: scores of a run, or of a file of answers, on a labelled file."""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from trainer.data import answered, datasets, files, squad
from trainer.data.plain_text import PlainText
from trainer.errors import Mistake
from trainer.options import Evaluate
from trainer.progress import say
from trainer.reports import report, table
from trainer.runs import PRETRAINING
from trainer.runs.folder import method_of
from trainer.tasks.table import TASKS
from trainer.writing import AnyPath, check, is_plain, json_line, opened, print_json


def run(options: Evaluate) -> None:
    if options.run.endswith(".json") and not os.path.isdir(options.run):
        print_json(score_answers(options))
        return
    for name, path in options.outputs().items():
        check(path, {"--data": options.data, **options.runs()}, name)
        if not os.path.isdir(os.path.dirname(os.path.realpath(path))):
            raise Mistake(f"{name} {path}: expected a file in a folder that is there")
    if method_of(Path(options.run)):
        print_json(score_text(options))
        return
    result = evaluate(options)
    if options.report or sys.stderr.isatty():
        say(f"\n{_page(result, options)}\n")
    print_json(result)


def score_answers(options: Evaluate) -> dict[str, Any]:
    """Returns the scores of a file of answers {id: answer}, as the official scripts read it."""
    more = (options.column, options.output, options.errors, options.against, options.report)
    if any(more) or options.answering():
        raise Mistake(f"expected --data and --limit beside a file of answers ({options.run}), received more")
    path = datasets.path_of(options.data, "dev", "qa")
    rows = files.read(path, TASKS["qa"], files.ANY, limit=options.limit, layout=options.layout(TASKS["qa"], "qa"))
    return squad.score_file(files.content(options.run), options.run, rows)


def score_text(options: Evaluate) -> dict[str, Any]:
    """Returns the scores of a run of pretraining: on plain text; of word2vec, on pairs of words or analogies.

    Raises:
        Mistake: Options that speak of rows; the text cannot be read.
    """
    more = (options.column, options.output, options.errors, options.against, options.report)
    if any(more) or options.answering():
        raise Mistake(f"expected --data and --limit beside a run of pretraining ({options.run}), received more")
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer.pretraining.language import LanguageModel
    from trainer.pretraining.run import Pretrained
    from trainer.pretraining.word_vectors import vectors_of

    begun, folder = time.monotonic(), Path(options.run)
    method = method_of(folder)
    if method == "word2vec":
        scores = vectors_of(folder).score(options.data)
    else:
        text = PlainText([options.data], "--data")
        trained = LanguageModel(folder) if method in LanguageModel.methods else Pretrained(folder)
        scores = trained.scorer(text, options.batch_size, options.limit)()
    return {"task": PRETRAINING, "data": options.data, **scores, "seconds": round(time.monotonic() - begun, 1)}


def evaluate(options: Evaluate) -> dict[str, Any]:
    """Scores a run on a labelled file, and writes its predictions to --output, its errors to --errors, if these are given.

    Args:
        options: Checked.

    Returns:
        The scores, by name; under `report`, where the run fails (`trainer.reports`); under `against`, those of another run.
    """
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer.runs.run import Run

    run = Run(options.run, **options.answering())
    other = _other(options, run)
    path = datasets.path_of(options.data, "dev", run.task_name)
    column = options.column or (None if files.has_named_columns(path) else run.column)
    layout = options.layout(run.task, run.task_name, run.lineage["options"])
    as_table = answered.is_table(options.output) and run.task.target not in ("tags", "answers")
    if options.output and options.output.endswith(".csv") and not as_table:
        raise Mistake(
            f"--output {options.output}: expected another ending for {run.task_name}; `predict --output` writes CSV"
        )
    inputs: dict[str, AnyPath] = {"--data": path, **options.runs()}
    # Further files lie beside the first one, under its name with other endings
    stem = os.path.splitext(options.output)[0] if options.output and is_plain(options.output) else None
    if stem:
        check(f"{stem}.null_odds.json", inputs)
    with opened(options.output, inputs) as file, _opened_errors(options, inputs) as errors:
        labels, fields = run.setup.labels, [run.fields]
        given = files.given(path, run.task, labels, inputs=fields, limit=options.limit, column=column, layout=layout)
        scorer = run.scorer(given.rows, options.batch_size)
        say(f"data      {path}: {scorer}")
        began = time.monotonic()
        result = {"task": run.task_name, "data": str(path), **scorer()}
        if options.output:
            (_, content), *rest = scorer.predictions(options.output, column).items()
            _write(file, options.output, given, content)
            for ending, content in rest if stem else ():
                with opened(f"{stem}{ending}", inputs) as further:
                    _write(further, f"{stem}{ending}", given, content)
        outcomes = scorer.outcomes()
        if errors:
            errors.writelines(json_line(row) + "\n" for row in outcomes.errors())
        result |= scorer.variants()
        if other:
            result["against"] = _compared(options, outcomes, other.scorer(given.rows, options.batch_size))
        result["report"] = report.report(outcomes, seed=options.seed)
        return result | {"seconds": round(time.monotonic() - began, 1)}


def _write(file, path, given, content):
    """Writes what was predicted: a text as it is, rows beside the columns of the file that they are from."""
    if isinstance(content, str):
        file.write(content)
    else:
        answered.write(file, path, given, content)


def _page(result, options):
    """Returns what `evaluate` returned as a page for a terminal."""
    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        width = 80
    pages = [table.report(result["report"], width)]
    if against := result.get("against"):
        scores = [result["report"]["intervals"], against["intervals"]]
        runs = [options.run, options.against]
        pages.append(table.differences(runs, scores, against["difference"], result["report"]))
    return "\n\n".join(pages)


def _opened_errors(options, inputs):
    if not options.errors:
        return contextlib.nullcontext()
    others = {"--output": options.output} if options.output else {}
    return opened(options.errors, inputs | others, "--errors")


def _other(options, run):
    """Returns the run that --against names, None without one.

    Raises:
        Mistake: It cannot be scored on the same rows.
    """
    if not options.against:
        return None
    from trainer.runs.run import Run

    other = Run(options.against, **options.answering())
    labels = [{*each.setup.labels} if each.task.target == "label" else None for each in (run, other)]
    for name, expected, received in (
        ("task", run.task_name, other.task_name),
        ("fields", ", ".join(run.fields), ", ".join(other.fields)),
        ("labels", *(", ".join(sorted(names or ())) for names in labels)),
    ):
        if expected != received:
            what = f"--against {options.against}: expected a run of the {name} of {options.run}, {expected}"
            raise Mistake(f"{what}; received {received}")
    return other


def _compared(options, outcomes, scorer):
    """Returns the scores of the other run, with their intervals, and the difference of both."""
    scores = scorer()
    others = scorer.outcomes()
    return {
        "run": options.against,
        **scores,
        "intervals": report.intervals(others, seed=options.seed),
        "difference": report.differences(outcomes, others, seed=options.seed),
    }

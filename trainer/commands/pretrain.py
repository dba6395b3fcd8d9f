"""`python -m trainer pretrain METHOD`: from plain text to a run folder."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from trainer.data.plain_text import PlainText
from trainer.options import Pretrain, defaults, of_result
from trainer.pretraining import bert, language, word_vectors
from trainer.runs import PRETRAINING
from trainer.runs.folder import Folder
from trainer.training import loop, machine, workers
from trainer.weights import hub
from trainer.writing import print_json


class Plan(Protocol):
    """What a run will learn, from what, and how: everything is made with the plan, nothing is trained."""

    @property
    def work(self) -> loop.Work:
        """The job of the run."""

    def settings(self) -> dict[str, Any]:
        """Returns the run's `config.json`; `Folder.start` adds its options."""

    def files(self) -> dict[str, str]:
        """Returns {name: content} of the files beside `config.json` that a run has from its first moment."""

    def decisions(self) -> list[str]:
        """Returns lines that say what will be trained, on what, and how."""


# (options, text, {name: path} of what the run reads, its workers) -> its plan
PLANS: dict[str, Callable[[Pretrain, PlainText, dict[str, Path], workers.Workers], Plan]] = {
    "bert": bert.Plan,
    "lm": language.Plan,
    "elmo": language.Plan,
    "word2vec": word_vectors.Plan,
}


def run(options: Pretrain) -> None:
    result = pretrain(options)
    if workers.join().is_chief:
        print_json(result)


def pretrain(options: Pretrain) -> dict[str, Any]:
    """Trains a model on plain text.

    Args:
        options: Checked.

    Returns:
        The result that metrics.json holds; of a dry run, the plan.

    Raises:
        Mistake, Failure, Interrupted: See `trainer.errors`.
    """
    machine.prepare(options)
    together = workers.join()
    text = PlainText(options.text or [])
    fetch = not options.dry_run
    inputs = {f"text ({number})": Path(path) for number, path in enumerate(text.paths, 1)}
    dev = PlainText(options.dev, "--dev") if options.dev else None
    if dev:
        inputs |= {f"dev ({number})": Path(path) for number, path in enumerate(dev.paths, 1)}
    if options.init:
        inputs["init"] = hub.folder_of(options.init, fetch=fetch)
    if options.vocabulary:
        inputs["vocabulary"] = hub.vocabulary_of(options.vocabulary, fetch=fetch)
    # The files themselves are compared by their content
    of_text = {"text": [Path(path).name for path in text.paths]}
    if dev:
        of_text["dev"] = [Path(path).name for path in dev.paths]
    folder = Folder(
        options.out, of_result(options) | of_text, inputs, overwrite=options.overwrite, defaults=defaults(Pretrain)
    )
    if finished := folder.finished():
        return finished
    plan = PLANS[options.method](options, text, inputs, together)
    return loop.run(
        plan.work,
        folder,
        settings=plan.settings(),
        files=plan.files(),
        decisions=plan.decisions(),
        result={"task": PRETRAINING, "model": options.method, "seed": options.seed},
        checkpoint_every=options.checkpoint_every,
        dry_run=options.dry_run,
    )

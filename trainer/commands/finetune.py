"""`python -m trainer finetune TASK`: from a file of rows to a run folder."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

from typing import Any

from trainer.finetuning.decisions import decisions
from trainer.finetuning.plan import Plan
from trainer.options import Finetune, defaults, of_result
from trainer.runs.folder import Folder
from trainer.runs.run import files_of_run, settings_of_run
from trainer.runs.sources import Sources
from trainer.training import loop, machine, workers
from trainer.writing import print_json


def run(options: Finetune) -> None:
    result = finetune(options)
    if workers.join().is_chief:
        print_json({name: value for name, value in result.items() if name != "report"})  # a page; metrics.json has it


def finetune(options: Finetune) -> dict[str, Any]:
    """Fine-tunes pretrained weights, or trains random ones.

    Args:
        options: Checked.

    Returns:
        The result that metrics.json holds; of a dry run, the plan.

    Raises:
        Mistake, Failure, Interrupted: See `trainer.errors`.
    """
    machine.prepare(options)
    together = workers.join()
    sources = Sources.of(options)
    folder = Folder(
        options.out,
        of_result(options),
        sources.inputs(),
        overwrite=options.overwrite,
        defaults=defaults(Finetune),  # for runs that are older than an option
    )
    if finished := folder.finished():
        return finished
    plan = Plan(options, sources, together)
    return loop.run(
        plan.work,
        folder,
        settings=settings_of_run(plan.blueprint, options.task, plan.setup, sources.names),
        files=files_of_run(plan.blueprint, plan.setup),
        decisions=decisions(plan),
        result={"task": options.task, "model": plan.blueprint.architecture.name, "seed": options.seed},
        checkpoint_every=options.checkpoint_every,
        dry_run=options.dry_run,
    )

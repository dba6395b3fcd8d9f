"""`KERAS_BACKEND=jax python -m trainer.pretraining.elsewhere.train FOLDER --out RUN`: pretrains a model from a folder that
`trainer.pretraining.elsewhere.prepare` wrote, on a machine that has JAX, and neither TensorFlow nor the text.

The steps are those of `python -m trainer pretrain` bert, lm or elmo, on batches of one shape, drawn by other processes; the run folder is one
that every other command reads. The same command again goes on where it was interrupted.
"""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from trainer.errors import Failure, Interrupted, Mistake
from trainer.pretraining.elsewhere.choices import Options
from trainer.pretraining.elsewhere.documents import Documents
from trainer.pretraining.elsewhere.makers import Makers
from trainer.pretraining.elsewhere.prepared import EXPECTED, FACTS, Prepared, facts_of
from trainer.pretraining.elsewhere.streams import Streams
from trainer.progress import say
from trainer.runs.folder import Folder, lineage
from trainer.writing import print_json


def parsed(arguments: list[str] | None = None) -> Options:
    """Returns the options of a command line.

    Raises:
        SystemExit: They are wrong, or asked for.
    """
    parser = argparse.ArgumentParser(prog="trainer.pretraining.elsewhere.train", description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="what trainer.pretraining.elsewhere.prepare wrote")
    parser.add_argument("--out", required=True)
    for field in fields(Options)[2:]:
        if isinstance(field.default, bool):
            parser.add_argument(f"--{field.name}", action="store_true")
        else:
            kind = {"steps": int, "seconds": float}.get(field.name, type(field.default))
            parser.add_argument(f"--{field.name}", type=kind, default=field.default)
    options = Options(**vars(parser.parse_args(arguments)))
    if (options.steps is None) == (options.seconds is None):
        parser.error("expected either --steps or --seconds")
    if min(options.batch_size, options.rounds) < 1 or options.processes < 0:
        parser.error("expected --batch_size and --rounds above 0, and --processes of 0 or more")
    if options.precision not in ("float32", "mixed_bfloat16"):
        parser.error(f"--precision: expected float32 or mixed_bfloat16, received {options.precision}")
    return options


def train(options: Options) -> dict[str, Any]:
    """Trains a run folder from where it stands to its end; returns the result that metrics.json holds.

    Raises:
        Mistake, Failure, Interrupted: See `trainer.errors`.
    """
    prepared = prepared_of(Path(options.folder))
    given = prepared.reading | options.of_result() | {"method": prepared.method, "accumulate": 1}
    inputs = {"prepared": Path(options.folder) / FACTS, "vocabulary": Path(options.folder) / "vocab.txt"}
    begun = Path(options.out) / "config.json"
    if options.steps is None and begun.is_file() and not options.overwrite:
        given["steps"] = lineage(Path(options.out))["options"].get("steps")  # what was measured then
    folder = Folder(options.out, given, inputs, overwrite=options.overwrite)
    if finished := folder.finished():
        return finished
    source = prepared.batches(options.batch_size)
    with Makers(source.batch, options.processes) as batches:
        held_out = prepared.held_out(options.batch_size)
        # Not before the processes are forked: their copies of the threads of a framework would not run
        from trainer.pretraining.elsewhere.training import Training

        with folder.owned():
            objective = prepared.objective(held_out)
            return Training(options, given, prepared, objective, source.of_pass, batches, held_out, folder).run()


def prepared_of(folder: Path) -> Prepared[Any]:
    """Returns what a folder holds.

    Raises:
        Mistake: Nothing that was prepared.
    """
    try:
        method = facts_of(folder).get("method", "bert")
    except (OSError, ValueError) as error:
        raise Mistake(f"{folder}: {EXPECTED}, found {error}") from None
    return (Documents if method == "bert" else Streams).of(folder)


def main() -> None:
    try:
        print_json(train(parsed()))
    except Mistake as error:
        status, line = 2, str(error)
    except Failure as error:
        status, line = 1, str(error)
    except Interrupted as error:
        status, line = error.status, str(error)
    else:
        return
    say(line)
    raise SystemExit(status)


if __name__ == "__main__":
    main()

"""`python -m trainer COMMAND ...`: options are the typed signatures below, on the command line or in `--config FILE`."""

import inspect
import json
import os
import re
import sys

from jsonargparse import ArgumentParser

from trainer import Mistake
from trainer.tasks import TASKS


def finetune(
    task: str,
    *,
    train: str,
    init: str,
    out: str,
    dev: str | None = None,
    epochs: int = 3,
    batch_size: int = 32,
    learning_rate: float = 5e-5,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    max_length: int = 128,
    seed: int = 0,
    labels: list[str] | None = None,
    limit: int | None = None,
    overwrite: bool = False,
):
    """Fine-tune pretrained weights on a task.

    Args:
        task: What to learn: sentiment.
        train: Training file (GLUE TSV, `label sentence` lines, JSON lines), or a data set by name: sst2.
        init: Pretrained weights: a Hugging Face folder, minilm, or a name on the Hugging Face hub.
        out: Run folder to write.
        dev: File, or data set by name, to score after each epoch.
        epochs: Times that every example is seen.
        batch_size: Examples a step.
        learning_rate: At the end of the warm-up; falls linearly to 0.
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: Of AdamW; not on biases and layer normalisation.
        max_length: Longest text in word pieces, [CLS] and [SEP] included; longer ones lose their end.
        seed: Of new weights, dropout and the order of the examples.
        labels: Label names in the order of their numbers; each task has its own by default.
        limit: Train on the first so many examples only.
        overwrite: Delete what the run folder holds, and start anew.
    """
    _known(task)
    _positive(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, limit=limit)
    if max_length < 3:
        raise Mistake(f"--max_length: expected 3 or more, received {max_length}")
    if weight_decay < 0:
        raise Mistake(f"--weight_decay: expected 0 or more, received {weight_decay}")
    if not 0 <= seed < 2**32:
        raise Mistake(f"--seed: expected 0 to {2**32 - 1}, received {seed}")
    if not 0 <= warmup <= 1:
        raise Mistake(f"--warmup: expected a share from 0 to 1, received {warmup}")
    if labels is not None and (len(set(labels)) != len(labels) or len(labels) < 2):
        raise Mistake(f"--labels: expected two or more different names, received {labels}")
    options = dict(locals())
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer import train as trainer

    trainer.print_result(trainer.finetune(**options))


def evaluate(run: str, *, data: str, batch_size: int = 32):
    """Score a run on a labelled file.

    Args:
        run: Run folder.
        data: File of the same forms as for training, or the dev part of a data set by name.
        batch_size: Examples at once.
    """
    _positive(batch_size=batch_size)
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer import train as trainer

    trainer.print_result(trainer.evaluate(run, data_file=data, batch_size=batch_size))


def predict(run: str, *, text: list[str] | None = None, input: str | None = None, batch_size: int = 32):
    """Answer texts; one JSON object a line on standard output.

    Args:
        run: Run folder.
        text: Text to answer; several: --text one two.
        input: File of texts to answer: JSON lines or TSV as for training (labels are not looked at), else a text a line.
        batch_size: Texts at once.
    """
    _positive(batch_size=batch_size)
    if (text is None) == (input is None):
        raise Mistake("predict: expected either --text or --input")
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer import data, runs
    from trainer import train as trainer

    run = runs.Run(run)
    rows = data.read(input, run.task) if input else [{run.task.fields[0]: one} for one in text]
    for row in trainer.predict(run, rows, batch_size=batch_size):
        trainer.print_result(row)


def datasets(name: str | None = None):
    """List the data sets known by name, or fetch one and say where it lies.

    Args:
        name: Data set to fetch: sst2.
    """
    from trainer import sources

    if name is None:
        for known, parts in sources.DATA.items():
            print(json.dumps({"name": known, "parts": list(parts), "repository": parts["train"].repository}))
    elif name not in sources.DATA:
        raise Mistake(f"{name}: no data set of that name (known: {', '.join(sources.DATA)})")
    else:
        print(json.dumps({"name": name} | {part: str(sources.data(name, part)) for part in sources.DATA[name]}))


COMMANDS = {"finetune": finetune, "evaluate": evaluate, "predict": predict, "datasets": datasets}


def _known(task):
    if task not in TASKS:
        raise Mistake(f"task: expected one of {', '.join(TASKS)}, received {task}")


def _positive(**options):
    for name, value in options.items():
        if value is not None and not value > 0:
            raise Mistake(f"--{name}: expected more than 0, received {value}")


class Parser(ArgumentParser):
    """Answers a wrong command line by one line and exit status 2."""

    def error(self, message, ex=None):
        line = " ".join(str(message).split()).replace("Parser key ", "option ")
        line = re.sub(rf"\b({'|'.join(COMMANDS)})\.(\w+)", r"--\2", line)
        print(f"{self.prog.replace(' [options]', '')}: {line} (see --help)", file=sys.stderr)
        sys.exit(2)


def main(arguments=None):
    parser = Parser(prog="python -m trainer", description=__doc__, allow_abbrev=False)
    commands = parser.add_subcommands(required=True, dest="command")
    for name, function in COMMANDS.items():
        commands.add_subcommand(name, command_parser(function), help=function.__doc__.split("\n")[0])
    options = parser.parse_args(arguments)
    values = options[options.command].as_dict()
    values.pop("config", None)
    try:
        COMMANDS[options.command](**values)
    except Mistake as mistake:
        print(f"python -m trainer {options.command}: {mistake}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # whoever read the results has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def command_parser(function):
    """Returns the parser of a command: what its signature has before `*` is positional, the rest are options."""
    parser = Parser(description=function.__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options; flags win")
    special = set()
    helps = dict(re.findall(r"^        (\w+): (.*)$", function.__doc__, re.M))
    for parameter in inspect.signature(function).parameters.values():
        name, optional = parameter.name, parameter.default is not parameter.empty
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            parser.add_argument(name, type=str, nargs="?" if optional else None, help=helps[name])
        elif parameter.annotation is bool:
            parser.add_argument(f"--{name}", action="store_true", help=helps[name])
        elif parameter.annotation == list[str] | None:
            parser.add_argument(f"--{name}", type=str, nargs="+", action="extend", help=helps[name])
        else:
            continue
        special.add(name)
    parser.add_function_arguments(function, skip=special)
    return parser


if __name__ == "__main__":
    main()

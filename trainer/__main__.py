"""`python -m trainer COMMAND ...`: options are the dataclasses of `trainer.options`, on the command line or in `--config FILE`."""

import functools
import importlib
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import NoReturn

import docstring_parser
from jsonargparse import ArgumentParser

from trainer import options, recipes
from trainer.errors import Failure, Interrupted, Mistake, defect
from trainer.progress import say

# Name -> (class of its options, module whose `run` takes them)
COMMANDS: dict[str, tuple[type[options.Command], str]] = {
    "finetune": (options.Finetune, "trainer.commands.finetune"),
    "evaluate": (options.Evaluate, "trainer.commands.evaluate"),
    "predict": (options.Predict, "trainer.commands.predict"),
    "corpus": (options.Corpus, "trainer.commands.corpus"),
    "pretrain": (options.Pretrain, "trainer.commands.pretrain"),
    "vectors": (options.VectorFile, "trainer.commands.vectors"),
    "vocabulary": (options.Vocabulary, "trainer.commands.vocabulary"),
    "convert": (options.Convert, "trainer.commands.convert"),
    "export_hf": (options.ExportHuggingFace, "trainer.commands.export_hf"),
    "compare": (options.Compare, "trainer.commands.compare"),
    "launch": (options.Launch, "trainer.commands.launch"),
    "recipes": (options.Recipes, "trainer.commands.recipes"),
    "datasets": (options.Datasets, "trainer.commands.datasets"),
    "weights": (options.Weights, "trainer.commands.weights"),
}
ALL_OPTIONS = [option for options_class, _ in COMMANDS.values() for option in fields(options_class)]
BY_PLACE = {option.name for option in ALL_OPTIONS if option.metadata.get("by_place")}
LISTS = {option.name for option in ALL_OPTIONS if option.type == list[str] | None}
FLAGS = {option.name for option in ALL_OPTIONS if option.type is bool}  # options without a value
TYPES = {"int": "a whole number", "float": "a number", "str": "a text"}


class Parser(ArgumentParser):
    """Answers a wrong command line with one line and exit status 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        line = " ".join(str(message).split()).replace("Parser key ", "option ")
        line = re.sub(rf"\b({'|'.join(COMMANDS)})\.(\w+)", r"--\2", line)
        by_place = f"--({'|'.join(BY_PLACE)})"
        if unrecognized := re.search(rf"unrecognized arguments: {by_place}\b", line):
            line += f": given by its place alone, COMMAND {unrecognized[1].upper()}"
        else:
            line = re.sub(rf"{by_place}(?=,|$)", lambda match: match[1].upper(), line)
        invalid = re.match(r'option "(\w+)": .*?Expected an? <class \'(\w+)\'>.*(?:Got|Given) value: (.*)$', line)
        if invalid:
            line = f"--{invalid[1]}: expected {TYPES.get(invalid[2], invalid[2])}, received {invalid[3]}"
        self.end(line)

    def end(self, line: str) -> NoReturn:
        """Prints a line as it is, and ends with status 2."""
        print(f"{self.prog.replace(' [options]', '')}: {line} (see --help)", file=sys.stderr)
        sys.exit(2)


@functools.cache
def parser_of_all() -> Parser:
    """Returns the parser of the program: a subcommand for each of `COMMANDS`."""
    parser = Parser(prog="python -m trainer", description=__doc__, allow_abbrev=False)
    commands = parser.add_subcommands(required=True, dest="command")
    for name, (options_class, _) in COMMANDS.items():
        commands.add_subcommand(name, parser_of(options_class), help=options_class.__doc__)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the arguments ask for, by default those of the process; errors end it with one line and a status."""
    command, given = parsed(sys.argv[1:] if arguments is None else arguments)
    if threading.current_thread() is threading.main_thread():  # no other may set handlers
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
                signal.signal(number, _stop)
    try:
        importlib.import_module(COMMANDS[command][1]).run(given.checked())
    except Mistake as mistake:
        _end(command, mistake, 2)
    except Interrupted as interrupted:
        _end(command, interrupted, interrupted.status)
    except KeyboardInterrupt:
        _end(command, "interrupted", 130)
    except BrokenPipeError:  # the reader has closed its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Failure as failure:
        _end(command, failure, 1)
    except OSError as error:
        _end(command, f"{error.filename}: {error.strerror}" if error.filename else error, 1)
    except Exception as error:
        _end(command, defect(error), 1)


def parsed(arguments: Sequence[str]) -> tuple[str, options.Command]:
    """Returns the command that arguments ask for, and its options, not yet checked; those of --recipe are among them.

    Raises:
        SystemExit: They are wrong; a line on standard error says what.
    """
    parser = parser_of_all()
    try:
        found = parser.parse_args(_with_recipe(list(arguments)))
        values = found[found.command].as_dict()
        if values.get("recipe"):
            recipes.named(values["recipe"]).check(values["task"])
    except Mistake as mistake:
        parser.end(str(mistake))
    values.pop("config", None)
    return found.command, COMMANDS[found.command][0](**values)


def _with_recipe(arguments):
    """Returns the arguments with the options of --recipe right after the command, where all that follows wins over them.

    Raises:
        Mistake: The recipe, or a file of --config, is wrong: jsonargparse's own errors do not name the file.
    """
    paths = _values(arguments, "config")
    configs = [recipes.read_yaml(path, "config") for path in paths]
    for path, content in zip(paths, configs, strict=True):
        _check_types(path, content)
    names = [str(content["recipe"]) for content in configs if content.get("recipe")] + _values(arguments, "recipe")
    if not names or arguments[:1] != ["finetune"]:
        return arguments
    recipe = recipes.named(names[-1])
    _check_types(names[-1], recipe.options)
    given = {name for name in LISTS if _has(arguments, name) or any(name in content for content in configs)}
    given -= {*recipes.JOINED}
    options = {name: value for name, value in recipe.options.items() if name not in given}
    task = {"task": recipe.task} if recipe.task else {}
    return [arguments[0], f"--config={json.dumps(task | options)}", *arguments[1:]]


def _values(arguments, name):
    """Returns the values of an option of one value, in order."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=False)  # without arguments there is no pair
    values = [after if argument == f"--{name}" else argument for argument, after in pairs if _names(argument, name)]
    return [value.removeprefix(f"--{name}=") for value in values if value]


def _has(arguments, name):
    return any(_names(argument, name) for argument in arguments)


def _names(argument, name):
    return argument == f"--{name}" or argument.startswith(f"--{name}=")


def _check_types(path, content):
    for name, value in content.items():
        if name in FLAGS and not isinstance(value, bool):
            raise Mistake(f"{path}: {name}: expected true or false, received {value!r}")
        are_names = isinstance(value, list) and all(isinstance(label, str) for label in value)
        if name == "labels" and value is not None and not are_names:
            raise Mistake(f"{path}: labels: expected a list of names (in quotes: 'no', '1'), received {value!r}")


def _stop(number, _):
    raise Interrupted(number, "stopped")


def _end(command, message, status):
    say(f"python -m trainer {command}: {message}")
    sys.exit(status)


def parser_of(options_class: type[options.Command]) -> Parser:
    """Returns the parser of a command: its own options, then each group that it inherits under a heading."""
    parser = Parser(description=options_class.__doc__, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options; flags win")
    bases = reversed(options_class.__mro__[1:])
    groups = [base for base in bases if "__dataclass_fields__" in base.__dict__]
    added = set()
    for group in [options_class, *groups]:
        target = parser if group is options_class else parser.add_argument_group(group.__doc__)
        helps = {option.arg_name: option.description for option in docstring_parser.parse_from_object(group).params}
        for option in fields(group):
            if option.name in helps and option.name not in added:
                added.add(option.name)
                _add(target, option, helps[option.name])
    return parser


def _add(target, option, help_text):
    required = option.default is MISSING
    if option.metadata.get("by_place"):
        several = "+" if option.type == list[str] else None
        target.add_argument(option.name, type=str, nargs=several if required else "?", help=help_text)
    elif option.type is bool:
        target.add_argument(f"--{option.name}", action="store_true", help=help_text)
    elif option.type == list[str] | None:
        target.add_argument(f"--{option.name}", type=str, nargs="+", action="extend", help=help_text)
    elif required:
        target.add_argument(f"--{option.name}", type=option.type, required=True, help=help_text)
    else:
        target.add_argument(f"--{option.name}", type=option.type, default=option.default, help=help_text)


if __name__ == "__main__":
    main()

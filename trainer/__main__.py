"""`python -m trainer COMMAND ...`: options are the dataclasses of `trainer.options`, on the command line or in `--config FILE`."""

import functools
import importlib
import os
import re
import signal
import sys
import threading
from dataclasses import MISSING, fields

import docstring_parser
import yaml
from jsonargparse import ArgumentParser

from trainer import options
from trainer.errors import Failure, Interrupted, Mistake, defect
from trainer.progress import say

# Its options, the module whose `run` takes them
COMMANDS = {
    "finetune": (options.Finetune, "trainer.commands.finetune"),
    "evaluate": (options.Evaluate, "trainer.commands.evaluate"),
    "predict": (options.Predict, "trainer.commands.predict"),
    "convert": (options.Convert, "trainer.commands.convert"),
    "export_hf": (options.ExportHuggingFace, "trainer.commands.export_hf"),
    "datasets": (options.Datasets, "trainer.commands.datasets"),
    "weights": (options.Weights, "trainer.commands.weights"),
}
ALL_FIELDS = [one for own, _ in COMMANDS.values() for one in fields(own)]
BY_PLACE = {one.name for one in ALL_FIELDS if one.metadata.get("by_place")}
FLAGS = {one.name for one in ALL_FIELDS if one.type is bool}  # options without a value
KINDS = {"int": "a whole number", "float": "a number", "str": "a text"}


class Parser(ArgumentParser):
    """Answers a wrong command line by one line and exit status 2."""

    def error(self, message, ex=None):
        line = " ".join(str(message).split()).replace("Parser key ", "option ")
        line = re.sub(rf"\b({'|'.join(COMMANDS)})\.(\w+)", r"--\2", line)
        by_place = f"--({'|'.join(BY_PLACE)})"
        if wrong := re.search(rf"unrecognized arguments: {by_place}\b", line):
            line += f": given by its place alone, COMMAND {wrong[1].upper()}"
        else:
            line = re.sub(rf"{by_place}(?=,|$)", lambda match: match[1].upper(), line)
        wrong = re.match(r'option "(\w+)": .*?Expected an? <class \'(\w+)\'>.*(?:Got|Given) value: (.*)$', line)
        if wrong:
            line = f"--{wrong[1]}: expected {KINDS.get(wrong[2], wrong[2])}, received {wrong[3]}"
        print(f"{self.prog.replace(' [options]', '')}: {line} (see --help)", file=sys.stderr)
        sys.exit(2)


@functools.cache
def parser_of_all():
    parser = Parser(prog="python -m trainer", description=__doc__, allow_abbrev=False)
    commands = parser.add_subcommands(required=True, dest="command")
    for name, (own, _) in COMMANDS.items():
        commands.add_subcommand(name, parser_of(own), help=own.__doc__)
    return parser


def main(arguments=None):
    parser = parser_of_all()
    arguments = sys.argv[1:] if arguments is None else arguments
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument.startswith("--config=") or before == "--config":
            _check_recipe(parser, argument.removeprefix("--config="))
    command = parser.parse_args(arguments)
    values = command[command.command].as_dict()
    values.pop("config", None)
    own, module = COMMANDS[command.command]
    if threading.current_thread() is threading.main_thread():  # no other may set handlers
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
                signal.signal(number, _stop)
    try:
        chosen = own(**values).checked()
        importlib.import_module(module).run(chosen)
    except Mistake as mistake:
        _end(command.command, mistake, 2)
    except Interrupted as interrupted:
        _end(command.command, interrupted, interrupted.status)
    except KeyboardInterrupt:
        _end(command.command, "interrupted", 130)
    except BrokenPipeError:  # whoever read the results has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Failure as failure:
        _end(command.command, failure, 1)
    except OSError as error:
        _end(command.command, f"{error.filename}: {error.strerror}" if error.filename else error, 1)
    except Exception as error:
        _end(command.command, defect(error), 1)


def _check_recipe(parser, path):
    """jsonargparse's own errors do not name the file."""
    try:
        with open(path, encoding="utf-8") as file:
            recipe = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"--config {path}: cannot be read ({getattr(error, 'strerror', None) or error})")
    except yaml.YAMLError as error:
        place = f"{path}:{error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else path
        parser.error(f"{place}: expected YAML, found {getattr(error, 'problem', None) or error}")
    if not isinstance(recipe, dict):
        parser.error(f"{path}: expected YAML with `option: value` lines, found {type(recipe).__name__}")
    for name, value in recipe.items():
        if name in FLAGS and not isinstance(value, bool):
            parser.error(f"{path}: {name}: expected true or false, received {value!r}")
        names = isinstance(value, list) and all(isinstance(label, str) for label in value)
        if name == "labels" and value is not None and not names:
            parser.error(f"{path}: labels: expected a list of names (in quotes: 'no', '1'), received {value!r}")


def _stop(number, _):
    raise Interrupted(number, "stopped")


def _end(command, message, status):
    say(f"python -m trainer {command}: {message}")
    sys.exit(status)


def parser_of(own):
    """Returns the parser of a command: the groups that its options inherit under headings of their own, then the rest."""
    parser = Parser(description=own.__doc__, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options; flags win")
    groups = [group for group in reversed(own.__mro__) if "__dataclass_fields__" in group.__dict__ and group is not own]
    added = set()
    for group in [own, *groups]:
        place = parser if group is own else parser.add_argument_group(group.__doc__)
        helps = {one.arg_name: one.description for one in docstring_parser.parse_from_object(group).params}
        for one in fields(group):
            if one.name in helps and one.name not in added:
                added.add(one.name)
                _add(place, one, helps[one.name])
    return parser


def _add(place, one, help_text):
    required = one.default is MISSING
    if one.metadata.get("by_place"):
        place.add_argument(one.name, type=str, nargs=None if required else "?", help=help_text)
    elif one.type is bool:
        place.add_argument(f"--{one.name}", action="store_true", help=help_text)
    elif one.type == list[str] | None:
        place.add_argument(f"--{one.name}", type=str, nargs="+", action="extend", help=help_text)
    elif required:
        place.add_argument(f"--{one.name}", type=one.type, required=True, help=help_text)
    else:
        place.add_argument(f"--{one.name}", type=one.type, default=one.default, help=help_text)


if __name__ == "__main__":
    main()

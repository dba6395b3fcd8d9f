"""`python -m trainer COMMAND ...`: options are the typed signatures below, on the command line or in `--config FILE`."""

import contextlib
import inspect
import os
import re
import signal
import sys
import threading

import yaml
from jsonargparse import ArgumentParser

from trainer import Failure, Interrupted, Mistake, defect, described, short
from trainer.output import check, print_json
from trainer.progress import say
from trainer.tasks import TASKS


def finetune(
    task: str,
    *,
    train: str,
    out: str,
    dev: str | None = None,
    init: str | None = None,
    model: str | None = None,
    vocabulary: str | None = None,
    epochs: int = 3,
    batch_size: int = 32,
    accumulate: int = 1,
    learning_rate: float = 5e-5,
    layer_decay: float = 1.0,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    epsilon: float | None = None,
    dropout: float | None = None,
    freeze: str | int | None = None,
    max_length: int | None = None,
    doc_stride: int | None = None,
    max_answer_length: int | None = None,
    unanswerable: float | None = None,
    seed: int = 0,
    labels: list[str] | None = None,
    column: str | int | None = None,
    lines: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    dev_limit: int | None = None,
    patience: int | None = None,
    keep: str = "last",
    checkpoint_every: float = 60.0,
    dry_run: bool = False,
    overwrite: bool = False,
):
    """Fine-tune pretrained weights, or train random ones, on a task; the same command again goes on where it was interrupted.

    Args:
        task: What to learn: sentiment, classification, nli, tagging, qa.
        train: Training file (texts: GLUE TSV, `label sentence` lines, JSON lines; tagged words: CoNLL-U, columns, JSON lines; questions: SQuAD JSON, JSON lines; any of them packed, .gz), or a data set by name (`python -m trainer datasets` lists them): sst2, ocnli:train-10k, tfds:NAME, hf:NAME.
        init: Pretrained weights: a folder of Hugging Face's or of Google's form, a short name (`python -m trainer weights` lists them), or OWNER/NAME[@REVISION] on the Hugging Face hub.
        model: Instead of --init, random weights of a size: tiny, mini, small, medium, minilm, base, large.
        vocabulary: The vocab.txt of random weights: a file, or that of weights by name, as for --init.
        out: Run folder to write.
        dev: File, or data set by name (its dev part), to score after each epoch.
        epochs: Times that every example is seen.
        batch_size: Examples at once.
        accumulate: Batches a step; their gradients are summed and divided by their examples.
        learning_rate: At the end of the warm-up; falls linearly to 0.
        layer_decay: Times the learning rate, for each layer further from the output (ELECTRA: 0.8 to 0.9).
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: Of AdamW; not on biases and layer normalisation.
        epsilon: Of Adam (default: 1e-6, as google-research/bert has it; transformers has 1e-8).
        dropout: In training (default: as the weights' configuration says, mostly 0.1; 0 learns faster where each example is seen once).
        freeze: What keeps its weights: embeddings, or a number N for embeddings and the first N layers.
        max_length: Pieces read at once, [CLS] and [SEP] included (default: 128; qa 384); longer texts lose their end, the longer of two first, or are tagged and searched for answers in windows that overlap.
        doc_stride: Of qa: pieces from the start of one window of a context to that of the next (default: 128).
        max_answer_length: Of qa: pieces of the longest answer that is looked for (default: 30).
        unanswerable: Of qa: ask this share of the questions of a second paragraph, too, that lies near and does not hold the answer; so a run learns from SQuAD 1.1 that some have none.
        seed: Of new weights, dropout and the order of the examples.
        labels: Label names in the order of their numbers, or a file with one a line. By default the task's own, or those of the data.
        column: Where a treebank's tags stand: upos (default) or xpos of CoNLL-U; of other files, a column's number, 2 or more (default: the last).
        lines: What the lines of a file without names of columns are: labelled (a label, a space, a text); asked for where labels are not known and no numbers, so that it cannot be told.
        limit: Train on the first so many examples only.
        sample: Train on so many only, drawn from all by the seed; classes keep their shares.
        dev_limit: Score on the first so many only.
        patience: Stop after so many epochs without a better dev score.
        keep: Whose epoch's weights are kept, last or best (on dev).
        checkpoint_every: Seconds between checkpoints; no result depends on it.
        dry_run: Print the plan; train nothing, write nothing.
        overwrite: Delete the run that the folder holds, and start anew.
    """
    _known(task)
    if (init is None) == (model is None):
        raise Mistake(f"expected either --init or --model, received {'both' if init else 'neither'}")
    if (model is None) != (vocabulary is None):
        raise Mistake(
            f"--model and --vocabulary: expected both or neither, received {f'--model {model}' if model else '--vocabulary'}"
        )
    _positive(epochs=epochs, batch_size=batch_size, accumulate=accumulate, learning_rate=learning_rate)
    _positive(limit=limit, sample=sample, dev_limit=dev_limit, patience=patience)
    if limit and sample:
        raise Mistake("expected --limit, which takes the first rows, or --sample, which draws, received both")
    if lines not in (None, "labelled"):
        raise Mistake(f"--lines: expected labelled, received {lines}")
    if not 0 < layer_decay <= 1:
        raise Mistake(f"--layer_decay: expected more than 0, 1 at most, received {layer_decay}")
    _positive(epsilon=epsilon)
    if dropout is not None and not 0 <= dropout < 1:
        raise Mistake(f"--dropout: expected a rate from 0, below 1, received {dropout}")
    freeze = None if freeze is None else str(freeze)  # YAML has numbers
    if freeze is not None and freeze != "embeddings" and not freeze.isdecimal():
        raise Mistake(f"--freeze: expected embeddings or a number of layers, received {freeze}")
    if keep not in ("last", "best"):
        raise Mistake(f"--keep: expected last or best, received {keep}")
    if dev is None and (patience or keep == "best" or dev_limit):
        option = "patience" if patience else "dev_limit" if dev_limit else "keep best"
        raise Mistake(f"--{option}: expected --dev to score on, received none")
    if not checkpoint_every >= 0:
        raise Mistake(f"--checkpoint_every: expected 0 seconds or more, received {checkpoint_every}")
    max_length = _max_length(max_length, TASKS[task])
    _positive(doc_stride=doc_stride, max_answer_length=max_answer_length)
    if unanswerable is not None and not 0 < unanswerable <= 1:
        raise Mistake(f"--unanswerable: expected a share above 0, 1 at most, received {unanswerable}")
    if TASKS[task].head == "span":
        doc_stride = _within("doc_stride", doc_stride, 128, max_length)
        max_answer_length = _within("max_answer_length", max_answer_length, 30, max_length)
    elif doc_stride or max_answer_length or unanswerable:
        option = "doc_stride" if doc_stride else "max_answer_length" if max_answer_length else "unanswerable"
        raise Mistake(f"--{option}: expected for qa, received for {task}")
    if not weight_decay >= 0:
        raise Mistake(f"--weight_decay: expected 0 or more, received {weight_decay}")
    if not 0 <= seed < 2**32:
        raise Mistake(f"--seed: expected 0 to {2**32 - 1}, received {seed}")
    if not 0 <= warmup <= 1:
        raise Mistake(f"--warmup: expected a share from 0 to 1, received {warmup}")
    if labels and TASKS[task].target == "tags":
        raise Mistake("--labels: the labels of tagging are those of its training data, received others")
    if labels and TASKS[task].head == "span":
        raise Mistake("--labels: expected for tasks that have labels, received for qa")
    labels = labels and _labels(labels)
    if column and TASKS[task].target != "tags":
        raise Mistake(f"--column: expected for treebanks (tagging), received for {task}")
    column = column and _column(column)
    options = dict(locals())
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer import train as trainer

    print_json(trainer.finetune(**options))


def evaluate(
    run: str,
    *,
    data: str,
    limit: int | None = None,
    column: str | int | None = None,
    null_threshold: float | None = None,
    output: str | None = None,
    batch_size: int = 32,
):
    """Score a run on a labelled file.

    Args:
        run: Run folder; or answers to questions, as the official scorers read them: a file NAME.json of {id: answer}.
        data: File of the same forms as for training, or a data set by name: sst2 for its dev part, sst2:test.
        limit: Score on the first so many examples only.
        column: Where a treebank's tags stand, as for training (default: as there).
        null_threshold: Of qa: no answer where the null score is above (default: the best on the dev data of the training, if some questions there have no answer; 1 answers always).
        output: File for what was predicted. Tagging: CoNLL-U of the raw text if it ends in .conllu, else columns of the given words; qa: the official {id: answer}; otherwise JSON lines.
        batch_size: Examples at once.
    """
    _positive(batch_size=batch_size, limit=limit)
    column = column and _column(column)
    if run.endswith(".json") and not os.path.isdir(run):
        if column or null_threshold is not None or output:
            raise Mistake(f"expected --data and --limit beside a file of answers ({run}), received more")
        from trainer import data as files
        from trainer import datasets, squad

        rows = files.read(datasets.path_of(data, "dev", "qa"), TASKS["qa"], files.ANY, limit=limit)
        print_json(squad.score_file(files.content(run), run, rows))
        return
    if output:
        check(output, {"--data": data, "the run": run})
        if not os.path.isdir(os.path.dirname(os.path.realpath(output))):
            raise Mistake(f"--output {output}: expected a file in a folder that is there")
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer import train as trainer

    options = {
        "limit": limit,
        "column": column,
        "null_threshold": null_threshold,
        "output": output,
        "batch_size": batch_size,
    }
    print_json(trainer.evaluate(run, data_file=data, **options))


def predict(
    run: str,
    *,
    text: list[str] | None = None,
    text_b: list[str] | None = None,
    premise: list[str] | None = None,
    hypothesis: list[str] | None = None,
    question: list[str] | None = None,
    context: list[str] | None = None,
    words: list[str] | None = None,
    input: str | None = None,
    lines: str | None = None,
    signature: str | None = None,
    null_threshold: float | None = None,
    batch_size: int = 32,
):
    """Answer texts; one JSON object a line on standard output.

    Args:
        run: Run folder.
        text: Text to answer; several: --text one two.
        text_b: Of a run that was trained on two texts a row: the second ones, as many.
        premise: Of an nli run: the first texts, which say what is so.
        hypothesis: Of an nli run: the second ones, as many.
        question: Of a qa run.
        context: Of a qa run: where the answers are looked for, as many.
        words: Of a tagging run: the words of one sentence, instead of its text: --words She studies .
        input: File of rows to answer: JSON lines or TSV as for training, CoNLL-U, SQuAD JSON (gold values are not looked at), else a text a line; - for standard input.
        lines: What the lines of --input are: texts, or labelled (a label, which is dropped, a space, a text); asked for where every line begins with a label.
        signature: Of a qa run: nbest, for the 20 best answers.
        null_threshold: As for evaluate.
        batch_size: Texts at once.
    """
    _positive(batch_size=batch_size)
    fields = {
        "text": text, "text_b": text_b, "premise": premise, "hypothesis": hypothesis, "question": question,
        "context": context, "words": words,
    }  # fmt: skip
    given = {name: value for name, value in fields.items() if value is not None}
    for name, values in given.items():
        _encodable(f"--{name}", values)
    if lines not in (None, "labelled", "texts"):
        raise Mistake(f"--lines: expected labelled or texts, received {lines}")
    if bool(given) == bool(input):
        raise Mistake("expected either the fields of one row (--text, ...) or --input")
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer import data, runs
    from trainer import train as trainer

    if signature and null_threshold is not None:
        raise Mistake(f"--null_threshold: expected without --signature, which takes none, received with {signature}")
    run = runs.Run(run, null_threshold=null_threshold)
    if signature and signature not in run.task.more:
        expected = f"one of {', '.join(run.task.more)}" if run.task.more else f"none for {run.task_name}"
        raise Mistake(f"--signature: expected {expected}, received {signature}")
    if input:
        known = run.reading.labels if run.task.target == "label" else None
        rows = data.read(input, run.task, inputs=run.inputs, lines=lines, known=known)
    elif tuple(given) not in run.inputs:
        expected = ", or ".join(f"--{' and --'.join(fields)}" for fields in run.inputs)
        raise Mistake(f"this run answers {expected}; received --{' and --'.join(given)}")
    elif words:
        rows = [given]
    elif len({len(values) for values in given.values()}) > 1:
        received = ", ".join(f"{len(values)} --{name}" for name, values in given.items())
        raise Mistake(f"expected as many of each, received {received}")
    else:
        rows = [dict(zip(given, values, strict=True)) for values in zip(*given.values(), strict=True)]
    for row in trainer.predict(run, rows, signature=signature, batch_size=batch_size):
        print_json(row)


def convert(source: str, *, to: str):
    """Write pretrained weights in the other form: Google's from a Hugging Face folder, Hugging Face's from one of Google's.

    Args:
        source: Folder of either form (a run folder is one of Hugging Face's), or a name as for --init.
        to: Folder to write.
    """
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from models import convert
    from trainer import hub

    with _writing(to):
        print_json(convert.convert(hub.folder_of(source), to))


def export_hf(run: str, *, to: str):
    """Write a finished run as a folder that transformers opens, with a model card.

    Args:
        run: Run folder.
        to: Folder to write.
    """
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    from trainer import export_hf

    with _writing(to):
        print_json(export_hf.export_hf(run, to))


@contextlib.contextmanager
def _writing(to):
    """Turns what goes wrong while a folder is written into an error that names it."""
    try:
        yield
    except (FileExistsError, FileNotFoundError, ValueError) as error:
        raise Mistake(described(error)) from None
    except OSError as error:
        raise Failure(f"--to {to}: cannot be written ({error.strerror or error})") from None


def datasets(name: str | None = None):
    """List the data sets known by name, or fetch one: what --train NAME and --dev NAME stand for, or one part of it.

    Args:
        name: Data set to fetch, or NAME:PART of one.
    """
    from trainer import datasets

    if name is None:
        _print_all(datasets.known())
    else:
        print_json({"name": name} | {part: str(path) for part, path in datasets.fetched(name).items()})


def weights(name: str | None = None):
    """List the pretrained weights known by a short name, or fetch some, of the Hugging Face hub too, and say where they lie.

    Args:
        name: What --init takes.
    """
    from trainer import hub

    if name is None:
        _print_all(hub.known())
    else:
        print_json({"name": name, "path": str(hub.folder_of(name))})


def _print_all(rows):
    """Prints rows, dicts of the same keys: a table for a person's terminal, else JSON lines."""
    if not sys.stdout.isatty():
        for row in rows:
            print_json(row)
        return
    sys.stdout.reconfigure(errors="replace")  # a terminal may know no Chinese
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value):
    if not isinstance(value, dict):
        return str(value or "-")
    if all(isinstance(one, int) for one in value.values()):
        return ", ".join(f"{name} {one:,}" for name, one in value.items()) or "-"
    folders = {}  # of paths
    for name, path in value.items():
        folders.setdefault(os.path.dirname(path), []).append(name)
    return "; ".join(f"{', '.join(names)} in {folder}" for folder, names in folders.items())


COMMANDS = {
    "finetune": finetune, "evaluate": evaluate, "predict": predict, "convert": convert, "export_hf": export_hf,
    "datasets": datasets, "weights": weights,
}  # fmt: skip


# Options without a value, by command
FLAGS = {
    name: [
        option for option, parameter in inspect.signature(function).parameters.items() if parameter.annotation is bool
    ]
    for name, function in COMMANDS.items()
}


# What is given without a name
POSITIONAL = {
    parameter.name
    for function in COMMANDS.values()
    for parameter in inspect.signature(function).parameters.values()
    if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
}


def _known(task):
    if task not in TASKS:
        raise Mistake(f"task: expected one of {', '.join(TASKS)}, received {task}")


def _max_length(max_length, task):
    shortest = 1 + 2 * max(len(fields) for _, fields in task.inputs)  # [CLS], and a piece and a [SEP] of each text
    if max_length is not None and max_length < shortest:
        raise Mistake(f"--max_length: expected {shortest} or more, received {max_length}")
    return max_length or task.max_length


def _within(option, value, default, max_length):
    """Returns so many pieces of a context; they must fit beside [CLS], two [SEP] and a piece of the question."""
    most = max_length - 4
    if value is not None and value > most:
        raise Mistake(f"--{option}: expected {most} at most in windows of {max_length}, received {value}")
    return value or min(default, most)


def _labels(names):
    """Returns label names that were given on the command line, or in the one file that was named there."""
    source = "--labels"
    if len(names) == 1 and os.path.isfile(names[0]):
        source = f"--labels {names[0]}"
        with open(names[0], "rb") as file:
            content = file.read()
        try:
            names = content.decode("utf-8").removesuffix("\n").splitlines()
        except UnicodeDecodeError as error:
            raise Mistake(
                f"{source}: expected UTF-8, found byte 0x{content[error.start]:02x} at {error.start}"
            ) from None
    if len(set(names)) != len(names) or len(names) < 2 or not all(name.strip() for name in names):
        raise Mistake(f"{source}: expected two or more different names, received {', '.join(names) or 'none'}")
    return names


def _column(column):
    if str(column) in ("upos", "xpos"):
        return column
    if not str(column).isdecimal() or int(column) < 2:
        raise Mistake(f"--column: expected upos, xpos or a number from 2, received {column}")
    return int(column)


def _positive(**options):
    for name, value in options.items():
        if value is not None and not value > 0:
            raise Mistake(f"--{name}: expected more than 0, received {value}")


def _encodable(option, values):
    """Refuses bytes of the command line that are no UTF-8, which Python gives as halves of surrogate pairs."""
    for value in values:
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise Mistake(f"{option}: expected text in UTF-8, received {short(value)}")


KINDS = {"int": "a whole number", "float": "a number", "str": "a text"}


class Parser(ArgumentParser):
    """Answers a wrong command line by one line and exit status 2."""

    def error(self, message, ex=None):
        line = " ".join(str(message).split()).replace("Parser key ", "option ")
        line = re.sub(rf"\b({'|'.join(COMMANDS)})\.(\w+)", r"--\2", line)
        by_place = f"--({'|'.join(POSITIONAL)})"
        if wrong := re.search(rf"unrecognized arguments: {by_place}\b", line):
            line += f": given by its place alone, COMMAND {wrong[1].upper()}"
        else:
            line = re.sub(rf"{by_place}(?=,|$)", lambda match: match[1].upper(), line)
        wrong = re.match(r'option "(\w+)": .*?Expected an? <class \'(\w+)\'>.*(?:Got|Given) value: (.*)$', line)
        if wrong:
            line = f"--{wrong[1]}: expected {KINDS.get(wrong[2], wrong[2])}, received {wrong[3]}"
        print(f"{self.prog.replace(' [options]', '')}: {line} (see --help)", file=sys.stderr)
        sys.exit(2)


def main(arguments=None):
    parser = Parser(prog="python -m trainer", description=__doc__, allow_abbrev=False)
    commands = parser.add_subcommands(required=True, dest="command")
    for name, function in COMMANDS.items():
        commands.add_subcommand(name, command_parser(function), help=function.__doc__.split("\n")[0])
    arguments = sys.argv[1:] if arguments is None else arguments
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument.startswith("--config=") or before == "--config":
            _check_recipe(parser, argument.removeprefix("--config="))
    options = parser.parse_args(arguments)
    values = options[options.command].as_dict()
    values.pop("config", None)
    if threading.current_thread() is threading.main_thread():  # no other may set handlers
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
                signal.signal(number, _stop)
    try:
        COMMANDS[options.command](**values)
    except Mistake as mistake:
        _end(options.command, mistake, 2)
    except Interrupted as interrupted:
        _end(options.command, interrupted, interrupted.status)
    except KeyboardInterrupt:
        _end(options.command, "interrupted", 130)
    except BrokenPipeError:  # whoever read the results has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Failure as failure:
        _end(options.command, failure, 1)
    except OSError as error:
        _end(options.command, f"{error.filename}: {error.strerror}" if error.filename else error, 1)
    except Exception as error:
        _end(options.command, defect(error), 1)


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
        if any(name in FLAGS[command] for command in FLAGS) and not isinstance(value, bool):
            parser.error(f"{path}: {name}: expected true or false, received {value!r}")
        names = isinstance(value, list) and all(isinstance(label, str) for label in value)
        if name == "labels" and value is not None and not names:
            parser.error(f"{path}: labels: expected a list of names (in quotes: 'no', '1'), received {value!r}")


def _stop(number, _):
    raise Interrupted(number, "stopped")


def _end(command, message, status):
    say(f"python -m trainer {command}: {message}")
    sys.exit(status)


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
    parser.add_function_arguments(function, skip=special, as_group=False)
    return parser


if __name__ == "__main__":
    main()

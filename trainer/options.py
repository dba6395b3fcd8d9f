"""Every option of every command, once: a dataclass a command, whose fields are the flags and whose docstrings are their help.

`checked` returns the options as the command uses them, and refuses what makes no sense. Groups of options that commands share
are base classes; their docstrings are the headings of `--help`. Imports no framework.
"""

import os
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any

from trainer.errors import Mistake, short
from trainer.tasks.table import TASKS
from trainer.text.layout import room, specials

LARGEST_SEED = 2**32 - 1


def by_place(default=MISSING):
    """A field that is given by its place on the command line, without a name."""
    return field(default=default, metadata={"by_place": True})


def without_effect(default=MISSING):
    """A field on which no result of a run depends."""
    return field(default=default, metadata={"changes_result": False})


def defaults(options_class: type) -> dict[str, Any]:
    """Returns {name: value} of the options of a command that need not be given."""
    return {option.name: option.default for option in fields(options_class) if option.default is not MISSING}


def of_result(options):
    """Returns {name: value} of the options on which a run's result depends."""
    names = {one.name for one in fields(options) if one.metadata.get("changes_result", True)}
    return {name: value for name, value in asdict(options).items() if name in names}


class Command:
    """The options of a command."""

    def checked(self):
        """Returns the options as the command uses them.

        Raises:
            Mistake: One of them makes no sense; it is named.
        """
        return self


@dataclass(kw_only=True)
class TrainingData:
    """Data"""

    train: str
    """Training file (texts: GLUE TSV, `label sentence` lines, JSON lines; tagged words: CoNLL-U, columns, JSON lines; questions: SQuAD JSON, JSON lines; any of them packed, .gz), or a data set by name (`python -m trainer datasets` lists them): sst2, ocnli:train-10k, tfds:NAME, hf:NAME."""
    dev: str | None = None
    """File, or data set by name (its dev part), to score after each epoch."""
    labels: list[str] | None = None
    """Label names in the order of their numbers, or a file with one a line. By default the task's own, or those of the data."""
    column: str | int | None = None
    """Where a treebank's tags stand: upos (default) or xpos of CoNLL-U; of other files, a column's number, 2 or more (default: the last)."""
    lines: str | None = None
    """What the lines of a file without names of columns are: labelled (a label, a space, a text); asked for where labels are not known and no numbers, so that it cannot be told."""
    limit: int | None = None
    """Train on the first so many examples only."""
    sample: int | None = None
    """Train on so many only, drawn from all by the seed; classes keep their shares."""
    dev_limit: int | None = None
    """Score on the first so many only."""
    unanswerable: float | None = None
    """Of qa: ask this share of the questions of a second paragraph, too, that lies near and does not hold the answer; so a run learns from SQuAD 1.1 that some have none."""

    def check_data(self, task):
        _positive(limit=self.limit, sample=self.sample, dev_limit=self.dev_limit)
        if self.limit and self.sample:
            raise Mistake("expected --limit, which takes the first rows, or --sample, which draws, received both")
        _one_of("lines", self.lines, (None, "labelled"))
        if self.dev_limit and self.dev is None:
            raise Mistake("--dev_limit: expected --dev to score on, received none")
        if self.unanswerable is not None and not 0 < self.unanswerable <= 1:
            raise Mistake(f"--unanswerable: expected a share above 0, 1 at most, received {self.unanswerable}")
        if self.labels and task.target == "tags":
            raise Mistake("--labels: the labels of tagging are those of its training data, received others")
        if self.labels and task.target == "answers":
            raise Mistake("--labels: expected for tasks that have labels, received for qa")
        if self.column and task.target != "tags":
            raise Mistake(f"--column: expected for treebanks (tagging), received for {self.task}")


@dataclass(kw_only=True)
class ModelOptions:
    """Model"""

    init: str | None = None
    """Pretrained weights: a folder of Hugging Face's or of Google's form, a short name (`python -m trainer weights` lists them), or OWNER/NAME[@REVISION] on the Hugging Face hub."""
    model: str | None = None
    """Instead of --init, random weights of a size: tiny, mini, small, medium, minilm, base, large."""
    vocabulary: str | None = None
    """The vocab.txt of random weights: a file, or that of weights by name, as for --init."""
    max_length: int | None = None
    """Pieces read at once, [CLS] and [SEP] included (default: 128; qa 384); longer texts lose their end, the longer of two first, or are tagged and searched for answers in windows that overlap."""
    doc_stride: int | None = None
    """Of qa: pieces from the start of one window of a context to that of the next (default: 128)."""
    max_answer_length: int | None = None
    """Of qa: pieces of the longest answer that is looked for (default: 30)."""
    dropout: float | None = None
    """In training (default: as the weights' configuration says, mostly 0.1; 0 learns faster where each example is seen once)."""
    freeze: str | int | None = None
    """What keeps its weights: embeddings, or a number N for embeddings and the first N layers."""

    def check_model(self):
        if (self.init is None) == (self.model is None):
            raise Mistake(f"expected either --init or --model, received {'both' if self.init else 'neither'}")
        if (self.model is None) != (self.vocabulary is None):
            received = f"--model {self.model}" if self.model else "--vocabulary"
            raise Mistake(f"--model and --vocabulary: expected both or neither, received {received}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise Mistake(f"--dropout: expected a rate from 0, below 1, received {self.dropout}")
        if self.freeze is not None and str(self.freeze) != "embeddings" and not str(self.freeze).isdecimal():
            raise Mistake(f"--freeze: expected embeddings or a number of layers, received {self.freeze}")


@dataclass(kw_only=True)
class Optimisation:
    """Optimisation"""

    epochs: int = 3
    """Times that every example is seen."""
    batch_size: int = 32
    """Examples at once."""
    accumulate: int = 1
    """Batches a step; their gradients are summed and divided by their examples."""
    optimizer: str = "adamw"
    """adamw, or sgd with momentum 0.9."""
    learning_rate: float = 5e-5
    """At the end of the warm-up."""
    schedule: str = "linear"
    """What the learning rate does after the warm-up: linear or cosine (to 0), inverse_square_root, constant."""
    layer_decay: float = 1.0
    """Times the learning rate, for each layer further from the output (ELECTRA: 0.8 to 0.9)."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = 0.01
    """Decoupled, times the learning rate; not on biases and layer normalisation."""
    clip_norm: float = 1.0
    """Norm of all gradients together at which they are clipped; 0: they are not."""
    epsilon: float | None = None
    """Of Adam (default: 1e-6, as google-research/bert has it; transformers has 1e-8)."""
    seed: int = 0
    """Of new weights, dropout and the order of the examples."""
    patience: int | None = None
    """Stop after so many epochs without a better dev score."""
    keep: str = "last"
    """Whose epoch's weights are kept, last or best (on dev)."""

    def check_optimisation(self, dev):
        _positive(epochs=self.epochs, batch_size=self.batch_size, accumulate=self.accumulate)
        _positive(learning_rate=self.learning_rate, patience=self.patience, epsilon=self.epsilon)
        if not 0 < self.layer_decay <= 1:
            raise Mistake(f"--layer_decay: expected more than 0, 1 at most, received {self.layer_decay}")
        _one_of("keep", self.keep, ("last", "best"))
        _one_of("optimizer", self.optimizer, ("adamw", "sgd"))
        _one_of("schedule", self.schedule, ("linear", "cosine", "inverse_square_root", "constant"))
        if not self.clip_norm >= 0:
            raise Mistake(f"--clip_norm: expected 0 or more, received {self.clip_norm}")
        if dev is None and (self.patience or self.keep == "best"):
            raise Mistake(
                f"--{'patience' if self.patience else 'keep best'}: expected --dev to score on, received none"
            )
        if not self.weight_decay >= 0:
            raise Mistake(f"--weight_decay: expected 0 or more, received {self.weight_decay}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise Mistake(f"--seed: expected 0 to {LARGEST_SEED}, received {self.seed}")
        if not 0 <= self.warmup <= 1:
            raise Mistake(f"--warmup: expected a share from 0 to 1, received {self.warmup}")


@dataclass(kw_only=True)
class RunFolder:
    """Run folder"""

    out: str = without_effect()
    """Run folder to write."""
    checkpoint_every: float = without_effect(60.0)
    """Seconds between checkpoints; no result depends on it."""
    dry_run: bool = without_effect(False)
    """Print the plan; train nothing, fetch nothing, write nothing."""
    overwrite: bool = without_effect(False)
    """Delete the run that the folder holds, and start anew."""

    def check_run_folder(self):
        if not self.checkpoint_every >= 0:
            raise Mistake(f"--checkpoint_every: expected 0 seconds or more, received {self.checkpoint_every}")


@dataclass(kw_only=True)
class Finetune(Command, RunFolder, Optimisation, ModelOptions, TrainingData):  # the last one's fields come first
    """Fine-tune pretrained weights, or train random ones, on a task; the same command again goes on where it was interrupted."""

    task: str = by_place()
    """What to learn: sentiment, classification, nli, tagging, qa."""

    def checked(self):
        """Returns the options with the task's own values where none were given."""
        if self.task not in TASKS:
            raise Mistake(f"task: expected one of {', '.join(TASKS)}, received {self.task}")
        task = TASKS[self.task]
        self.check_model()
        self.check_optimisation(self.dev)
        self.check_data(task)
        self.check_run_folder()
        max_length = _max_length(self.max_length, task)
        _positive(doc_stride=self.doc_stride, max_answer_length=self.max_answer_length)
        doc_stride = max_answer_length = None
        if task.target == "answers":
            doc_stride = _within("doc_stride", self.doc_stride, 128, max_length)
            max_answer_length = _within("max_answer_length", self.max_answer_length, 30, max_length)
        else:
            for option in ("doc_stride", "max_answer_length", "unanswerable"):
                if getattr(self, option):
                    raise Mistake(f"--{option}: expected for qa, received for {self.task}")
        return replace(
            self,
            max_length=max_length,
            doc_stride=doc_stride,
            max_answer_length=max_answer_length,
            freeze=None if self.freeze is None else str(self.freeze),  # YAML has numbers
            labels=_labels(self.labels) if self.labels else task.labels and list(task.labels),
            column=self.column and _column(self.column),
        )


@dataclass(kw_only=True)
class Evaluate(Command):
    """Score a run on a labelled file."""

    run: str = by_place()
    """Run folder; or answers to questions, as the official scorers read them: a file NAME.json of {id: answer}."""
    data: str
    """File of the same forms as for training, or a data set by name: sst2 for its dev part, sst2:test."""
    limit: int | None = None
    """Score on the first so many examples only."""
    column: str | int | None = None
    """Where a treebank's tags stand, as for training (default: as there)."""
    null_threshold: float | None = None
    """Of qa: no answer where the null score is above (default: the best on the dev data of the training, if some questions there have no answer; 1 answers always)."""
    output: str | None = None
    """File for what was predicted. Tagging: CoNLL-U of the raw text if it ends in .conllu, else columns of the given words; qa: the official {id: answer}; otherwise JSON lines."""
    batch_size: int = 32
    """Examples at once."""

    def checked(self):
        _positive(batch_size=self.batch_size, limit=self.limit)
        return replace(self, column=self.column and _column(self.column))


@dataclass(kw_only=True)
class Predict(Command):
    """Answer texts; one JSON object a line on standard output."""

    run: str = by_place()
    """Run folder."""
    text: list[str] | None = None
    """Text to answer; several: --text one two."""
    text_b: list[str] | None = None
    """Of a run that was trained on two texts a row: the second ones, as many."""
    premise: list[str] | None = None
    """Of an nli run: the first texts, which say what is so."""
    hypothesis: list[str] | None = None
    """Of an nli run: the second ones, as many."""
    question: list[str] | None = None
    """Of a qa run."""
    context: list[str] | None = None
    """Of a qa run: where the answers are looked for, as many."""
    words: list[str] | None = None
    """Of a tagging run: the words of one sentence, instead of its text: --words She studies ."""
    input: str | None = None
    """File of rows to answer: JSON lines or TSV as for training, CoNLL-U, SQuAD JSON (gold values are not looked at), else a text a line; - for standard input."""
    lines: str | None = None
    """What the lines of --input are: texts, or labelled (a label, which is dropped, a space, a text); asked for where every line begins with a label."""
    signature: str | None = None
    """Of a qa run: nbest, for the 20 best answers."""
    null_threshold: float | None = None
    """As for evaluate."""
    batch_size: int = 32
    """Texts at once."""

    def given(self):
        """Returns {field: values} of the rows that stand on the command line."""
        names = ("text", "text_b", "premise", "hypothesis", "question", "context", "words")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def checked(self):
        _positive(batch_size=self.batch_size)
        for name, values in self.given().items():
            if any("\ud800" <= character <= "\udfff" for value in values for character in value):
                raise Mistake(f"--{name}: expected text in UTF-8, received {short(' '.join(values))}")
        _one_of("lines", self.lines, (None, "labelled", "texts"))
        if bool(self.given()) == bool(self.input):
            raise Mistake("expected either the fields of one row (--text, ...) or --input")
        if self.signature and self.null_threshold is not None:
            received = f"received with {self.signature}"
            raise Mistake(f"--null_threshold: expected without --signature, which takes none, {received}")
        return self


@dataclass(kw_only=True)
class Convert(Command):
    """Write pretrained weights in the other form: Google's from a Hugging Face folder, Hugging Face's from one of Google's."""

    source: str = by_place()
    """Folder of either form (a run folder is one of Hugging Face's), or a name as for --init."""
    to: str
    """Folder to write."""


@dataclass(kw_only=True)
class ExportHuggingFace(Command):
    """Write a finished run as a folder that transformers opens, with a model card."""

    run: str = by_place()
    """Run folder."""
    to: str
    """Folder to write."""


@dataclass(kw_only=True)
class Datasets(Command):
    """List the data sets known by name, or fetch one: what --train NAME and --dev NAME stand for, or one part of it."""

    name: str | None = by_place(None)
    """Data set to fetch, or NAME:PART of one."""


@dataclass(kw_only=True)
class Weights(Command):
    """List the pretrained weights known by a short name, or fetch some, of the Hugging Face hub too, and say where they lie."""

    name: str | None = by_place(None)
    """What --init takes."""


def _one_of(option, value, expected):
    if value not in expected:
        *names, last = (name for name in expected if name)
        names = f"{', '.join(names)} or {last}" if names else last
        raise Mistake(f"--{option}: expected {names}, received {value}")


def _positive(**options):
    for name, value in options.items():
        if value is not None and not value > 0:
            raise Mistake(f"--{name}: expected more than 0, received {value}")


def _max_length(max_length, task):
    texts = max(len(fields) for _, fields in task.inputs)
    shortest = specials(texts) + texts  # a piece of each
    if max_length is not None and max_length < shortest:
        raise Mistake(f"--max_length: expected {shortest} or more, received {max_length}")
    return max_length or task.max_length


def _within(option, value, default, max_length):
    """Returns so many pieces of a context; they must fit beside a piece of the question."""
    most = room(max_length, 2) - 1
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

"""The options of each command: a dataclass a command."""

import os
from dataclasses import dataclass, replace
from typing import Self

from trainer.errors import Mistake, short
from trainer.options.answering import Answering
from trainer.options.base import Command, by_place, without_effect
from trainer.options.checks import (
    column_of,
    labels_of,
    length_of,
    more_than_special,
    one_of,
    positive,
    within,
    within_seeds,
)
from trainer.options.columns import Columns
from trainer.options.groups import UNITS, UNKNOWN, WRITTEN, Device, ModelOptions, Optimisation, RunFolder, TrainingData
from trainer.tasks.options import checked
from trainer.tasks.table import FINETUNED, TASKS, Task


@dataclass(kw_only=True)
class Finetune(
    Command, RunFolder, Device, Optimisation, ModelOptions, Columns, TrainingData
):  # the last one's fields come first
    """Fine-tune pretrained weights, or train random ones, on a task; the same command again goes on where it was interrupted."""

    task: str = by_place()
    """What to learn: sentiment, classification, nli, multi_label, regression, tagging, qa, translation."""
    recipe: str | None = without_effect(None)
    """Options as defaults, which flags win over: those of a recipe by name (`python -m trainer recipes` lists them), or of a YAML file. TASK may be left out where the recipe says it."""

    def checked(self) -> Self:
        """Returns the options with the task's own values where none were given."""
        if self.task not in FINETUNED:
            other = f", which `python -m trainer {TASKS[self.task].trained_by}` trains" if self.task in TASKS else ""
            raise Mistake(f"task: expected one of {', '.join(FINETUNED)}, received {self.task}{other}")
        if self.multi_label:
            if self.task not in ("classification", "multi_label"):
                raise Mistake(f"--multi_label: expected for classification, received for {self.task}")
            return replace(self, task="multi_label", multi_label=False).checked()
        task = TASKS[self.task]
        self.check_model(self.task, task)
        self.check_optimisation(self.dev, self.task, task)
        self.check_data(self.task, task)
        self.check_columns()
        self.layout(task, self.task)
        self.check_run_folder()
        self.check_device()
        max_length = length_of(self.max_length, task)
        positive(doc_stride=self.doc_stride, max_answer_length=self.max_answer_length)
        doc_stride = max_answer_length = None
        if task.target == "answers":
            doc_stride = within("doc_stride", self.doc_stride, 128, max_length)
            max_answer_length = within("max_answer_length", self.max_answer_length, 30, max_length)
        else:
            for name in ("doc_stride", "max_answer_length", "unanswerable"):
                if getattr(self, name):
                    raise Mistake(f"--{name}: expected for qa, received for {self.task}")
        return replace(
            self,
            max_length=max_length,
            doc_stride=doc_stride,
            max_answer_length=max_answer_length,
            freeze=None if self.freeze is None else str(self.freeze),  # YAML has numbers
            layers=None if self.layers is None else str(self.layers),  # likewise
            unknown=None if self.unknown is None else str(self.unknown),  # likewise
            labels=labels_of(self.labels) if self.labels else list(task.labels) if task.labels else None,
            column=self.column and column_of(self.column),
            decoder=None if self.decoder in task.decoders[:1] else self.decoder,
        )


@dataclass(kw_only=True)
class Evaluate(Command, Answering, Columns):
    """Score a run on a labelled file."""

    run: str = by_place()
    """Run folder; or answers to questions, as the official scorers read them: a file NAME.json of {id: answer}."""
    data: str
    """File of the same forms as for training, or a data set by name: sst2 for its dev part, sst2:test."""
    limit: int | None = None
    """Score on the first so many examples only."""
    column: str | int | None = None
    """Where a treebank's tags stand, as for training (default: as there)."""
    output: str | None = None
    """File for what was predicted. Tagging: CoNLL-U of the raw text if it ends in .conllu, else columns of the given words; qa: the official {id: answer}; translation: a line each, unless it ends in .jsonl, .csv or .tsv; otherwise JSON lines, or a table if it ends in .csv or .tsv."""
    errors: str | None = None
    """File for the wrong answers, JSON lines, those of which the run was surest first: what was asked, gold, predicted, confidence. Tagging: a line a wrong word; qa: a line an answer that is not exactly right, with its f1."""
    against: str | None = None
    """Another run folder of the same task, to score on the same file: the difference of both, with its interval."""
    report: bool = False
    """Print where the run fails, as on a terminal, to standard error: scores with intervals, by class, by length."""
    seed: int = 0
    """Of the draws by which intervals are found."""
    batch_size: int = 32
    """Examples at once."""

    def outputs(self) -> dict[str, str]:
        """Returns {option: path} of the files to write."""
        return {f"--{name}": path for name in ("output", "errors") if (path := getattr(self, name))}

    def runs(self) -> dict[str, str]:
        """Returns {name: folder} of the runs to score."""
        return {"the run": self.run} | ({"--against": self.against} if self.against else {})

    def checked(self) -> Self:
        positive(batch_size=self.batch_size, limit=self.limit)
        self.check_answering()
        self.check_columns()
        within_seeds(self.seed)
        if self.output and self.errors and os.path.realpath(self.output) == os.path.realpath(self.errors):
            raise Mistake(f"--errors {self.errors}: expected another file than --output, received the same")
        return replace(self, column=self.column and column_of(self.column))


@dataclass(kw_only=True)
class Predict(Command, Answering, Columns):
    """Answer texts; one JSON object a line on standard output."""

    run: str = by_place()
    """Run folder; or pretrained BERT weights, which fill in [MASK]: nano, another name that `weights` lists, or a folder."""
    text: list[str] | None = None
    """Text to answer, of a language model the one to go on with, for fill_mask with [MASK] in it; several: --text one two."""
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
    source: list[str] | None = None
    """Of a translation run."""
    words: list[str] | None = None
    """Of a tagging run: the words of one sentence, instead of its text: --words She studies ."""
    input: str | None = None
    """File of rows to answer: JSON lines, CSV, TSV or Parquet as for training, CoNLL-U, SQuAD JSON (gold values are not looked at), else a text a line; - for standard input."""
    lines: str | None = None
    """What the lines of --input are: texts, or labelled (a label, which is dropped, a space, a text); asked for where every line begins with a label."""
    output: str | None = None
    """File to write (default: standard output): a table if it ends in .csv or .tsv, else JSON lines."""
    plot: str | None = None
    """Of a translation run with attention: file to draw to, PNG, where it looked in the source as it wrote, for a few texts."""
    signature: str | None = None
    """Of a qa run: nbest, for the 20 best answers; of a translation run: nbest, for the best translations, as many as --beams."""
    temperature: float | None = None
    """Of a language model: what logits are divided by: below 1 more probable units are drawn more often, above 1 less; 0: always the most probable one (default: 1)."""
    top_k: int | None = None
    """Of a language model: draw among so many most probable units; 0: among all (default: 0). For fill_mask: so many best fillings (default: 5)."""
    top_p: float | None = None
    """Of a language model: draw among the fewest most probable units that have this probability together; 1: among all (default: 1)."""
    seed: int | None = None
    """Of a language model: of what is drawn; the same text, options and seed give the same continuation, whatever other rows there are (default: 0)."""
    max_new_units: int | None = None
    """Of a language model: units to write (characters, words or pieces, as the model has them), at most (default: 100)."""
    batch_size: int = 32
    """Texts at once."""

    def options(self, task: Task, task_name: str) -> dict[str, float]:
        """Returns {name: value} of a task's options, for rows that do not say them themselves.

        Raises:
            Mistake: One is given that is not the task's, or has a value that it may not have.
        """
        of_tasks = {option.name: name for name, other in TASKS.items() for option in other.options}
        own = [option.name for option in task.options]
        for name in of_tasks:
            if getattr(self, name) is not None and name not in own:
                tasks = [other for other in TASKS if name in [option.name for option in TASKS[other].options]]
                raise Mistake(f"--{name}: expected for {' or '.join(tasks)}, received for {task_name}")
        return checked(vars(self), task.options, before="--")

    def given(self) -> dict[str, list[str]]:
        """Returns {field: values} of the rows that are given on the command line."""
        names = ("text", "text_b", "premise", "hypothesis", "question", "context", "source", "words")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def checked(self) -> Self:
        positive(batch_size=self.batch_size)
        self.check_answering()
        self.check_columns()
        for name, values in self.given().items():
            if any("\ud800" <= character <= "\udfff" for value in values for character in value):
                raise Mistake(f"--{name}: expected text in UTF-8, received {short(' '.join(values))}")
        one_of("lines", self.lines, (None, "labelled", "texts"))
        if self.plot and not self.plot.endswith(".png"):
            raise Mistake(f"--plot: expected a file whose name ends in .png, received {self.plot}")
        if self.plot and self.output and os.path.realpath(self.plot) == os.path.realpath(self.output):
            raise Mistake(f"--plot {self.plot}: expected another file than --output, received the same")
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


@dataclass(kw_only=True)
class Recipes(Command):
    """List the recipes: how models are trained on tasks, and how they did; or print one whole."""

    name: str | None = by_place(None)
    """What --recipe takes."""


@dataclass(kw_only=True)
class Launch(Command):
    """Train by several processes on this machine, which share each batch: launch --workers N -- finetune ...; one that fails ends all, and the same command again goes on."""

    workers: int
    """Processes; of the cores each gets its part, of several GPUs one."""
    command: list[str] = by_place()  # noqa: RUF009  a field, as in the other commands
    """finetune or pretrain with its options, behind --."""

    def checked(self) -> Self:
        positive(workers=self.workers)
        if self.command[0] not in ("finetune", "pretrain"):
            raise Mistake(f"expected finetune or pretrain behind --, received {self.command[0]}")
        return self


@dataclass(kw_only=True)
class Vocabulary(Command):
    """Make a vocabulary of text files, for --vocabulary of finetune."""

    text: list[str] | None = None
    """Files, a text a line, UTF-8, packed (.gz, .xz) or not; several, and patterns in quotes, such as 'part-*.txt.gz'."""
    out: str
    """File to write: a vocab.txt, special tokens first."""
    unit: str = UNITS[0]
    """What the entries are: pieces, words or characters, as for finetune; joined_pieces, of both languages, for translation."""
    size: int | None = None
    """Entries, special tokens included (default: 8000 pieces, 20000 words, 8000 characters)."""
    min_count: int | None = None
    """How often an entry stands in the text at least (default: 2 for words, so that what stands for unknown ones is trained; 1 for pieces and characters)."""
    character_min_count: int = 1
    """Of pieces, how often a character stands in the text at least; a rarer one is unknown. Chinese has thousands of them."""
    unknown: str = UNKNOWN[0]
    """Of words, what an unknown one becomes: unk; characters, all of which the vocabulary then has, too, beyond --size."""
    segment: bool = False
    """Of words: find Chinese ones by a dictionary (pip install rjieba), and say how often the longest match of a model agrees with it. Without it, each Chinese character is a word."""
    overwrite: bool = False
    """Replace the file, if it is there."""

    def checked(self) -> Self:
        if not self.text:
            raise Mistake("--text: expected files, received none")
        one_of("unit", self.unit, UNITS)
        one_of("unknown", self.unknown, UNKNOWN)
        if self.unit != "words":
            for name, given in (("segment", self.segment), (f"unknown {self.unknown}", self.unknown != UNKNOWN[0])):
                if given:
                    raise Mistake(f"--{name}: expected with --unit words, received with {self.unit}")
        positive(min_count=self.min_count, character_min_count=self.character_min_count)
        if self.unit not in ("pieces", WRITTEN) and self.character_min_count > 1:
            raise Mistake(f"--character_min_count: expected with --unit pieces, received with {self.unit}")
        more_than_special("size", self.size)
        return self

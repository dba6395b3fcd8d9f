"""How language models are trained: a run's model, text and steps; and a finished one from its folder."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from trainer.corpora import making
from trainer.corpora.shards import Corpus, describe, shares
from trainer.data.plain_text import PlainText
from trainer.data.schema import Row
from trainer.errors import Mistake
from trainer.generation import text as generation
from trainer.options import Pretrain
from trainer.pretraining.next_units import TARGETS, Carried, NextUnits, Scorer
from trainer.pretraining.rounds import Finished, Rounds, Settings, weights_line
from trainer.pretraining.source import StreamSource
from trainer.pretraining.windows import Stream, streams_of
from trainer.progress import say
from trainer.runs import PRETRAINING
from trainer.runs.blueprint import Blueprint, vocabulary_of
from trainer.runs.fresh import of_counts
from trainer.runs.run import tokenizer_files
from trainer.tasks.table import TASKS
from trainer.text import counted
from trainer.text.segmenter import segmenter
from trainer.text.tokenizer import Tokenizer
from trainer.text.units import UNITS
from trainer.text.verbatim import Verbatim
from trainer.text.vocabulary import letters_of_entries
from trainer.training import decay, loop, machine
from trainer.training.recompute import Recompute
from trainer.training.step import training_step
from trainer.training.workers import ALONE, Workers
from trainer.weights import pretrained

DIRECTIONS = {"lm": 1, "elmo": 2}  # by method, those that its models read in
HEAD = ("next_projection", "next_bias")
WRITTEN = {"characters": "code_points"}  # a model that writes characters writes spaces and capitals too


class Plan:
    """What a run will learn, from what, and how: everything is made with the plan, nothing is trained.

    Raises:
        Mistake: Text or weights cannot be read, or do not fit each other or the options.
    """

    def __init__(self, options: Pretrain, text: PlainText, inputs: dict[str, Path], workers: Workers = ALONE) -> None:
        self.options, self.text, self.inputs = options, text, inputs
        self.values = asdict(options)
        self.blueprint = blueprint_of(options, text, inputs)
        keras.utils.set_random_seed(options.seed)
        with machine.computing_in(options.precision):
            self.model = model_of(self.blueprint, options.seed, options.dropout)
        self.recompute = Recompute.of(options.recompute, self.model, options.batch_size, options.max_length)
        self.unused: list[str] = []
        if init := inputs.get("init"):
            new = self.blueprint.absent(self.model, init, HEAD)
            self.unused = self.blueprint.load(self.model, init, ignore=new)
        self.corpus, *others = corpora_of(options, text, self.blueprint.tokenizer)
        train, held_out = streams_of([self.corpus, *others], options.held_out)
        self.source = self._windows(train, shifted=True)
        if self.source.carried and workers.number > 1:
            raise Mistake(
                f"pretrain {options.method}: expected one worker, received {workers.number}: the states of a recurrent model pass from "
                "one batch to the next, row by row"
            )
        self.rounds = Rounds(options, self.source, self.source.steps, workers)
        self.frequencies = shares(self.corpus.frequencies(self.blueprint.config.vocabulary_size))
        self.letters, self.held_out = letters_of(self.blueprint), held_out
        self.scorer = None
        if len(held_out):
            windows = self._windows(held_out)
            self.scorer = Scorer(self.model, windows, options.dev_limit, self.frequencies, self.letters)
        self.unit = self.blueprint.tokenizer.unit.replace("_", " ")

    def _windows(self, stream, *, shifted=False):
        return windows_of(stream, self.blueprint, self.values, self.options.batch_size, shifted=shifted)

    @cached_property
    def work(self) -> loop.Work:
        """The job of the run."""
        options, rounds = self.options, self.rounds
        optimizer = rounds.optimizer(self.model)
        carried = Carried(self.model, options.batch_size, self.letters, recompute=self.recompute.on)
        loss = NextUnits(self.model, options.sampled, self.frequencies, optimizer.iterations, options.seed)
        return rounds.work(
            self.blueprint,
            units=lambda _, rows: rows * options.max_length,
            model=self.model,
            optimizer=optimizer,
            step=training_step(carried, loss, optimizer, [carried.signature, TARGETS], workers=rounds.workers),
            score=self.scorer,
            carried=[*carried.variables.values()],
            unit=self.unit,
            shown=("perplexity", "bits_per_character", "word_perplexity", "unigram_loss"),
            flops=self._flops(),
        )

    def _flops(self) -> float:
        """Returns the floating-point operations of a unit's training step, of matrix products alone."""
        config: Any = self.blueprint.config
        kernels = [v for v in self.model.trainable_variables if len(v.shape) == 2 and "embedding" not in v.path]
        width = self.model.get_layer("token_embedding").output_dim
        predicted = width * (self.options.sampled / 2 if self.options.sampled else config.vocabulary_size)
        attention = 2 * config.layers * config.width * self.options.max_length if hasattr(config, "heads") else 0
        return 6.0 * (decay.count(kernels) + predicted + attention)

    def settings(self) -> dict[str, Any]:
        """Returns the run's `config.json`; `Folder.start` adds its options."""
        names = {"text": [Path(path).name for path in self.text.paths], "init": self.options.init}
        lineage = {"task": PRETRAINING, "max_length": self.options.max_length, "names": names}
        return settings_of(self.blueprint) | {"lineage": lineage}

    def files(self) -> dict[str, str]:
        """Returns {name: content} of the files beside `config.json` that a run has from its first moment."""
        return tokenizer_files(self.blueprint.tokenizer)

    def decisions(self) -> list[str]:
        """Returns lines that say what will be trained, on what, and how."""
        options, unit, scored = self.options, self.unit, self.scorer
        size = self.blueprint.tokenizer.size
        over = f"{options.sampled:,} that are drawn for each batch" if options.sampled else f"all {size:,}"
        ways = ", and of the one before" if options.method == "elmo" else ""
        state = "; states are carried on from one batch to the next" if self.source.carried else ""
        limited = scored and options.dev_limit < scored.source.number
        return [
            *describe(self.corpus),
            f"task      the next of {options.max_length} {unit}{ways}{state}; the softmax is over {over}",
            weights_line(self.blueprint, options, self.inputs.get("init"), self.unused),
            f"train     {len(self.source.stream):,} {unit}, in windows of {options.max_length}",
            f"dev       {len(self.held_out):,} {unit}, {self.held_out.characters:,} characters"
            + (f", {options.dev_limit:,} windows at most" if limited else ""),
            *self.recompute.said,
            *self.rounds.decisions(self.model, self.work),
        ]


def model_of(blueprint: Blueprint, seed: int, dropout: float | None = None) -> keras.Model:
    """Returns the model of a run, untrained, with another dropout, if one is given; see `models.heads.next_units`.

    Raises:
        Mistake: It reads in both directions.
    """
    trained_as = blueprint if dropout is None else blueprint.with_dropout(dropout)
    try:
        return trained_as.architecture.build_language_model(trained_as.config, seed=seed)
    except ValueError as error:
        raise Mistake(f"--settings: {error}") from None


def settings_of(blueprint: Blueprint) -> dict[str, Any]:
    """Returns what `config.json` says of a language model."""
    architecture = blueprint.architecture
    settings = architecture.to_settings(blueprint.config)
    return settings | ({"architectures": [architecture.language_model]} if architecture.language_model else {})


def corpora_of(options: Pretrain, text: PlainText, tokenizer: Tokenizer) -> list[Corpus]:
    """Returns the text of a run as a stream of units, and behind it, where --dev is given, that which is scored.

    Raises:
        Mistake: There is too little of it.
    """
    corpora = [stream_of(text, tokenizer)]
    if options.dev:
        corpora.append(stream_of(PlainText(options.dev, "--dev"), tokenizer))
    train, _ = streams_of(corpora, options.held_out)
    if len(train) <= options.max_length:
        raise Mistake(
            f"--text {text.paths[0]}: expected more than --max_length {options.max_length} units to train on, found {len(train)}"
        )
    return corpora


def windows_of(
    stream: Stream, blueprint: Blueprint, settings: Settings, rows: int, *, shifted: bool = False
) -> StreamSource:
    """See `trainer.pretraining.windows.Windows.of`."""
    vocabulary = blueprint.tokenizer.vocabulary
    return StreamSource.of(stream, vocabulary, settings, rows, shifted=shifted, **reading_of(blueprint))


def reading_of(blueprint: Blueprint) -> dict[str, Any]:
    """Returns how a model reads a stream: the arguments `carried` and `directions` of `Windows`."""
    architecture = blueprint.architecture
    return {"carried": architecture.longest(blueprint.config) is None, "directions": architecture.directions}


def stream_of(text: PlainText, tokenizer: Tokenizer) -> Corpus:
    """Returns a text as a stream of units, without the letters of words."""
    return making.corpus(text, plain(tokenizer), stream=True)


def plain(tokenizer: Tokenizer) -> Tokenizer:
    """Returns a tokenizer that gives no letters."""
    return type(tokenizer)(tokenizer.vocabulary, lower_case=tokenizer.lower_case, fallback=tokenizer.fallback)


def letters_of(blueprint: Blueprint) -> np.ndarray | None:
    """Returns the letters of the units of a vocabulary, int32 [V, L], None where they are not read."""
    tokenizer = blueprint.tokenizer
    if not tokenizer.letters:
        return None
    return letters_of_entries(tokenizer.vocabulary, tokenizer.letters, blueprint.config.vocabulary_size)


def blueprint_of(options: Pretrain, text: PlainText, inputs: dict[str, Path]) -> Blueprint:
    """Returns the blueprint of the model.

    Raises:
        Mistake: It does not read from left to right, cannot be read, or has fewer positions than --max_length; no entry of a
            vocabulary is frequent enough.
    """
    if "init" in inputs:
        blueprint = Blueprint.of_weights(inputs["init"])
    else:
        unit = WRITTEN.get(options.unit, options.unit)
        vocabulary, lower_case = _vocabulary(options, unit, text, inputs.get("vocabulary"))
        blueprint = Blueprint.new(
            options.model or "", vocabulary, lower_case=lower_case, unit=unit, settings=options.settings or ()
        )
    architecture, config = blueprint.architecture, blueprint.config
    if "states" not in architecture.gives or architecture.directions != DIRECTIONS[options.method]:
        expected = "elmo" if options.method == "elmo" else "rnn, lstm, gru or gpt"
        raise Mistake(
            f"pretrain {options.method}: expected a model of the kind {expected}, received {architecture.title}"
        )
    if blueprint.tokenizer.letters and blueprint.tokenizer.lower_case:
        raise Mistake("--settings letters: words are read with their capitals: expected --cased, or --unit tokens")
    positions = architecture.longest(config)
    if positions and options.max_length > positions:
        raise Mistake(f"--max_length {options.max_length} is more than the {positions} positions of the model")
    return blueprint


def _vocabulary(options, unit, text, path):
    """Returns (the entries, whether they are in lower case), given or made of the text."""
    kind = UNITS[unit]
    verbatim = issubclass(kind, Verbatim)
    if path:
        entries = vocabulary_of(path)
        return entries, not verbatim and pretrained.is_lower_case(entries)
    lower_case = not (verbatim or options.cased)
    say(f"units     counting the {unit.replace('_', ' ')} of {text.size / 1e6:.1f} MB")
    segment = segmenter() if options.segment else None
    splitter = kind.splitter if issubclass(kind, Verbatim) else None
    counts = counted.count_lines(text, lower_case=lower_case, segment=segment, splitter=splitter)
    size = options.vocabulary_size or counted.SIZES[unit]
    return of_counts(unit, counts, size, options.vocabulary_min_count or counted.MINIMA[unit]), lower_case


class LanguageModel(Finished):
    """A finished run of a language model, from its folder."""

    methods = (*DIRECTIONS,)
    commands = "`python -m trainer pretrain lm` or `elmo`"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.task_name = "text_generation"  # of those that read in one direction, see `trainer.answerers`
        self.task = TASKS[self.task_name]
        self.inputs = [fields for _, fields in self.task.inputs]
        self.labels: list[str] = []
        self.draw: Callable[[Sequence[Row]], bytes] | None = None

    def functions(self) -> dict[str, Any]:
        """Returns {signature: tf.function} from texts to what is written behind them, see `trainer.generation.text`."""
        longest = self.blueprint.architecture.longest(self.blueprint.config)
        positions = longest and min(longest, self.options["max_length"])  # those behind were not trained
        return generation.functions(self.model, plain(self.blueprint.tokenizer), positions, letters_of(self.blueprint))

    def build(self) -> keras.Model:
        return model_of(self.blueprint, self.options["seed"])

    def scorer(self, text: PlainText, batch_size: int, limit: int | None = None) -> Scorer:
        """Returns what scores the model on a text, all of it or so many of its windows."""
        corpus = stream_of(text, self.blueprint.tokenizer)
        stream = Stream(corpus)
        if not len(stream):
            raise Mistake(f"{text.paths[0]}: expected text to score on, found none")
        windows = windows_of(stream, self.blueprint, self.options, batch_size)
        return Scorer(self.model, windows, limit, letters=letters_of(self.blueprint))

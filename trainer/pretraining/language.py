"""How language models are trained: a run's model, text and steps; and a finished one from its folder."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from trainer.corpora import making
from trainer.corpora.shards import Corpus, describe
from trainer.data.plain_text import PlainText
from trainer.errors import Mistake
from trainer.options import Pretrain
from trainer.pretraining.next_units import TARGETS, Carried, NextUnits, Scorer
from trainer.pretraining.windows import BothWays, Stream, Windows, divided
from trainer.progress import say
from trainer.runs import PRETRAINING
from trainer.runs.blueprint import Blueprint, vocabulary_of
from trainer.runs.folder import method_of
from trainer.runs.run import tokenizer_files
from trainer.text import counted
from trainer.text.segmenter import segmenter
from trainer.text.tokenizer import Tokenizer
from trainer.text.units import UNITS
from trainer.text.verbatim import Verbatim
from trainer.text.vocabulary import PADDING, SEPARATOR, SPECIAL
from trainer.training import batches, decay, loop, optim
from trainer.training.machine import ceiling, device
from trainer.training.step import training_step
from trainer.weights import pretrained

METHODS = ("lm", "elmo")
HEAD = ("next_projection", "next_bias")
WRITTEN = {"characters": "code_points"}  # a model that writes characters writes spaces and capitals too
Settings = dict[str, Any]  # options of `pretrain`, by name


class Plan:
    """What a run will learn, from what, and how: everything is made with the plan, nothing is trained.

    Raises:
        Mistake: Text or weights cannot be read, or do not fit each other or the options.
    """

    def __init__(self, options: Pretrain, text: PlainText, inputs: dict[str, Path]) -> None:
        self.options, self.text, self.inputs = options, text, inputs
        self.values = asdict(options)
        self.blueprint = _blueprint(options, text, inputs)
        keras.utils.set_random_seed(options.seed)
        try:
            self.model = model_of(self.blueprint, options.seed, options.dropout)
        except ValueError as error:
            raise Mistake(f"--settings: {error}") from None
        self.unused: list[str] = []
        if init := inputs.get("init"):
            new = self.blueprint.absent(self.model, init, HEAD)
            self.unused = self.blueprint.load(self.model, init, ignore=new)
        self.corpus = stream_of(text, self.blueprint.tokenizer)
        train, held_out = self._streams()
        if len(train) <= options.max_length:
            raise Mistake(
                f"--text {text.paths[0]}: expected more than --max_length {options.max_length} units to train on, found {len(train)}"
            )
        self.source = self._windows(train, shifted=True)
        counts = self.corpus.frequencies(self.blueprint.config.vocabulary_size) + 1
        self.frequencies = counts / np.sum(counts)
        self.scorer = None
        if len(held_out):
            windows, letters = self._windows(held_out), letters_of(self.blueprint)
            self.scorer = Scorer(self.model, windows, options.dev_limit, self.frequencies, letters)
        self.held_out = held_out

    def _streams(self) -> tuple[Stream, Stream]:
        """Returns (what is trained on, what is scored)."""
        if not self.options.dev:
            return divided(self.corpus, self.options.held_out)
        dev = PlainText(self.options.dev, "--dev")
        return Stream(self.corpus), Stream(stream_of(dev, self.blueprint.tokenizer))

    def _windows(self, stream, *, shifted=False):
        return windows_of(stream, self.blueprint, self.values, self.options.batch_size, shifted=shifted)

    @cached_property
    def work(self) -> loop.Work:
        """The job of the run."""
        options = self.options
        every = min(options.evaluate_every, options.steps)
        rounds = options.steps // every  # the options have been checked
        total = rounds * every
        variables = self.model.trainable_variables
        optimizer = optim.optimizer(
            variables,
            optim.Schedule(options.peak, round(options.warmup * total), total, options.schedule),
            weight_decay=options.weight_decay,
            clip_norm=options.clip_norm,
        )
        carried = Carried(self.model, options.batch_size, letters_of(self.blueprint))
        loss = NextUnits(self.model, options.sampled, self.frequencies, optimizer.iterations, options.seed)
        return loop.Work(
            model=self.model,
            optimizer=optimizer,
            steps=every,
            epochs=rounds,
            batches=lambda number, skip: self._batches((number - 1) * every + skip, number * every),
            step=training_step(carried, loss, optimizer, [carried.signature, TARGETS]),
            to_bytes=self.blueprint.architecture.to_bytes,
            score=self.scorer,
            metric="loss",
            less_is_better=True,
            carried=[*carried.variables.values()],
            period="round",
            unit=self.blueprint.tokenizer.unit.replace("_", " "),
            shown=("perplexity", "bits_per_character", "word_perplexity", "unigram_loss"),
            flops=self._flops(),
            ceiling=ceiling(),
        )

    def _batches(self, first: int, last: int) -> Iterator[tuple[list, int]]:
        """Yields (batch, number of its units) of steps from `first` until before `last`, counted over all passes."""
        options, source = self.options, self.source
        while first < last:
            number, place = divmod(first, source.steps)
            steps = source.plan(options.batch_size, seed=options.seed, epoch=number)[place : place + last - first]
            for step, rows in batches.steps(source, steps, options.batch_size, number):
                yield step, rows * options.max_length
            first += len(steps)

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
        architecture = self.blueprint.architecture
        settings = architecture.to_settings(self.blueprint.config)
        if architecture.language_model:
            settings["architectures"] = [architecture.language_model]
        names = {"text": [Path(path).name for path in self.text.paths], "init": self.options.init}
        lineage = {"task": PRETRAINING, "max_length": self.options.max_length, "names": names}
        return settings | {"lineage": lineage}

    def files(self) -> dict[str, str]:
        """Returns {name: content} of the files beside `config.json` that a run has from its first moment."""
        return tokenizer_files(self.blueprint.tokenizer)

    def decisions(self) -> list[str]:
        """Returns lines that say what will be trained, on what, and how."""
        options, work, tokenizer = self.options, self.work, self.blueprint.tokenizer
        unit, total = tokenizer.unit.replace("_", " "), work.steps * work.epochs
        weights = f"weights   random: {self.blueprint.architecture.title} of size {options.model}"
        if "init" in self.inputs:
            weights = f"weights   {self.inputs['init']}; in the file but not used: {', '.join(self.unused) or 'none'}"
        over = f"{options.sampled:,} that are drawn for each batch" if options.sampled else f"all {tokenizer.size:,}"
        ways = ", and of the one before" if options.method == "elmo" else ""
        state = "; states are carried on from one batch to the next" if self.source.carried else ""
        _, after = optim.SCHEDULES[options.schedule]
        return [
            *describe(self.corpus),
            f"task      the next of {options.max_length} {unit}{ways}{state}; the softmax is over {over}",
            weights,
            f"train     {len(self.source.stream):,} {unit}, in windows of {options.max_length}",
            f"dev       {len(self.held_out):,} {unit}, {self.held_out.characters:,} characters"
            + (
                f", {options.dev_limit:,} windows at most"
                if options.dev_limit < self._windows(self.held_out).number
                else ""
            ),
            f"model     {self.model.count_params():,} parameters; {decay.describe(self.model.trainable_variables)}",
            f"steps     {total:,} of batches of {options.batch_size}, {total / self.source.steps:.2f} passes over the text; "
            f"learning rate {options.peak:g} after {round(options.warmup * total)} steps, {after}; seed {options.seed}",
            f"device    {device()}; matrix products at {work.ceiling / 1e9:.0f} GFLOP/s, the ceiling",
        ]


def model_of(blueprint: Blueprint, seed: int, dropout: float | None = None) -> keras.Model:
    """Returns the model of a run, untrained, with another dropout, if one is given; see `models.heads.next_units`."""
    trained_as = blueprint if dropout is None else blueprint.with_dropout(dropout)
    return trained_as.architecture.build_language_model(trained_as.config, seed=seed)


def windows_of(
    stream: Stream, blueprint: Blueprint, settings: Settings, rows: int, *, shifted: bool = False
) -> Windows | BothWays:
    """Returns the windows of a stream, as a run with these options reads them: of what is scored, fewer rows where there are fewer
    windows."""
    vocabulary, length = blueprint.tokenizer.vocabulary, settings["max_length"]
    of_one = partial(
        Windows,
        stream,
        length,
        rows if shifted else max(min(rows, -(-len(stream) // length)), 1),
        carried=blueprint.architecture.longest(blueprint.config) is None,
        end=vocabulary.index(SEPARATOR),
        padding=vocabulary.index(PADDING),
        shifted=shifted,
        seed=settings["seed"],
    )
    return BothWays(of_one(), of_one(reversed=True)) if settings["method"] == "elmo" else of_one()


def stream_of(text: PlainText, tokenizer: Tokenizer) -> Corpus:
    """Returns a text as a stream of units, without the letters of words."""
    plain = type(tokenizer)(tokenizer.vocabulary, lower_case=tokenizer.lower_case, fallback=tokenizer.fallback)
    return making.corpus(text, plain, stream=True)


def letters_of(blueprint: Blueprint) -> np.ndarray | None:
    """Returns the letters of the units of a vocabulary, int32 [V, L], None where they are not read; see `trainer.text.letters`."""
    count = blueprint.tokenizer.letters
    if not count:
        return None
    table = np.zeros([blueprint.config.vocabulary_size, count], np.int32)
    for number, entry in enumerate(blueprint.tokenizer.vocabulary):
        if entry not in SPECIAL:
            content = np.frombuffer(entry.encode()[:count], np.uint8)
            table[number, : len(content)] = 1 + content.astype(np.int32)
    return table


def _blueprint(options: Pretrain, text: PlainText, inputs: dict[str, Path]) -> Blueprint:
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
    if "states" not in architecture.gives or (architecture.name == "elmo") != (options.method == "elmo"):
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
    minimum = options.vocabulary_min_count or counted.MINIMA[unit]
    entries = counted.of_counts(unit, counts, size, minimum=minimum)
    if len(entries) == len(SPECIAL):
        raise Mistake(f"--vocabulary_min_count {minimum}: expected {unit} that stand in the text so often, found none")
    return entries, lower_case


class LanguageModel:
    """A finished run of a language model, from its folder.

    Raises:
        Mistake: It is none.
    """

    def __init__(self, folder: Path) -> None:
        if method_of(folder) not in METHODS or not (folder / "metrics.json").is_file():
            raise Mistake(f"{folder}: expected a finished run of `python -m trainer pretrain lm` or `elmo`, found none")
        self.blueprint = Blueprint.of_weights(folder)
        self.settings, _ = pretrained.read_config(folder)
        self.lineage = self.settings["lineage"]
        self.options: Settings = self.lineage["options"]
        result = pretrained.read_json(folder / "metrics.json")["final"]
        self.scores = {name: value for name, value in result.items() if name not in ("round", "step")}
        self.model = model_of(self.blueprint, self.options["seed"])
        self.blueprint.load(self.model, folder)

    def scorer(self, text: PlainText, batch_size: int, limit: int | None = None) -> Scorer:
        """Returns what scores the model on a text, all of it or so many of its windows."""
        corpus = stream_of(text, self.blueprint.tokenizer)
        stream = Stream(corpus)
        if not len(stream):
            raise Mistake(f"{text.paths[0]}: expected text to score on, found none")
        windows = windows_of(stream, self.blueprint, self.options, batch_size)
        return Scorer(self.model, windows, limit, letters=letters_of(self.blueprint))

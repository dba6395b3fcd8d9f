"""How BERT is pretrained: a run's model, text and steps."""

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from trainer.corpora.shards import describe, shares
from trainer.data.plain_text import PlainText
from trainer.errors import Mistake
from trainer.options import Pretrain
from trainer.pretraining import masked
from trainer.pretraining import run as of_run
from trainer.pretraining.passages import divided
from trainer.pretraining.rounds import Rounds, weights_line
from trainer.pretraining.source import SIGNATURE, TARGETS
from trainer.runs import PRETRAINING
from trainer.runs.blueprint import Blueprint, vocabulary_of
from trainer.runs.run import tokenizer_files
from trainer.text.vocabulary import MASK
from trainer.training import loop, machine
from trainer.training.recompute import Recompute, Recomputing
from trainer.training.step import training_step
from trainer.training.workers import ALONE, Workers
from trainer.weights import pretrained

OF_HEADS = ("id2label", "label2id", "problem_type")  # settings of the weights it began with, which another head left


class Plan:
    """What a run will learn, from what, and how: everything is made with the plan, nothing is trained.

    Raises:
        Mistake: Text or weights cannot be read, or do not fit each other or the options.
    """

    def __init__(self, options: Pretrain, text: PlainText, inputs: dict[str, Path], workers: Workers = ALONE) -> None:
        self.options, self.text, self.inputs = options, text, inputs
        self.values = asdict(options)
        self.pairs = of_run.has_pairs(self.values)
        self.blueprint = _blueprint(options, inputs)
        keras.utils.set_random_seed(options.seed)
        trained_as = self.blueprint if options.dropout is None else self.blueprint.with_dropout(options.dropout)
        with machine.computing_in(options.precision):
            self.model = of_run.model_of(trained_as, self.values)
        self.recompute = Recompute.of(options.recompute, self.model, options.batch_size, options.max_length)
        self.unused: list[str] = []
        if init := inputs.get("init"):
            new = self.blueprint.absent(self.model, init, of_run.HEAD)
            self.unused = self.blueprint.load(self.model, init, ignore=new)
        tokenizer = self.blueprint.tokenizer
        self.corpus = of_run.corpus_of(text, tokenizer, self.values)
        held_out, trained = divided(self.corpus.documents, options.held_out, least=1 + self.pairs)
        if self.pairs and len(trained) < 2:
            raise Mistake(
                f"--objectives mlm,nsp: expected two documents or more to train on, with a blank line between them, found "
                f"{len(trained)}; --objectives mlm needs no second text"
            )
        passages = lambda documents: of_run.passages_of(self.corpus, tokenizer, self.values, documents)
        self.train_set, self.dev_set = passages(trained), passages(held_out)
        if not self.train_set.number:
            raise Mistake(f"--text {self.text.paths[0]}: expected documents to train on, found none")
        of_pass = -(-self.train_set.number // (options.batch_size * options.accumulate))
        self.rounds = Rounds(options, self.train_set, of_pass, workers)
        self.scorer = masked.Scorer(
            self.model,
            self.dev_set,
            options.batch_size,
            options.dev_limit,
            shares(self.corpus.frequencies(tokenizer.size)),
        )

    @cached_property
    def work(self) -> loop.Work:
        """The job of the run."""
        optimizer = self.rounds.optimizer(self.model)
        return self.rounds.work(
            self.blueprint,
            units=lambda step, _: sum(int(np.sum(inputs["mask"])) for inputs, *_ in step),
            model=self.model,
            optimizer=optimizer,
            step=training_step(
                Recomputing(self.model) if self.recompute.on else self.model,
                masked.loss,
                optimizer,
                [SIGNATURE, TARGETS],
                accumulate=self.options.accumulate > 1,
                counts=masked.counts(pairs=self.pairs),
                measures=masked.measures,
                workers=self.rounds.workers,
            ),
            score=self.scorer if self.dev_set.number else None,
            unit="tokens",
            shown=("masked_loss", "unigram_loss", "masked_accuracy", "next_accuracy"),
            flops=of_run.flops(self.blueprint, self.values),
        )

    def settings(self) -> dict[str, Any]:
        """Returns the run's `config.json`; `Folder.start` adds its options."""
        architecture = self.blueprint.architecture
        settings = architecture.to_settings(self.blueprint.config)
        return {name: value for name, value in settings.items() if name not in OF_HEADS} | {
            "architectures": [f"{architecture.family}{of_run.CLASSES[self.options.objectives]}"],
            "lineage": {
                "task": PRETRAINING,
                "max_length": self.options.max_length,
                "names": {"text": [Path(path).name for path in self.text.paths], "init": self.options.init},
            },
        }

    def files(self) -> dict[str, str]:
        """Returns {name: content} of the files beside `config.json` that a run has from its first moment."""
        return tokenizer_files(self.blueprint.tokenizer)

    def decisions(self) -> list[str]:
        """Returns lines that say what will be trained, on what, and how."""
        options = self.options
        follows = "and whether the second text follows the first" if self.pairs else "of one text a sequence"
        return [
            *describe(self.corpus),
            f"task      masked {options.masking}, {follows}; {of_run.predicted(self.values):.1%} of the pieces of a full sequence, {options.max_predictions} at most",
            weights_line(self.blueprint, options, self.inputs.get("init"), self.unused),
            f"train     {self.train_set.number:,} sequences of {options.max_length} pieces at most, of {len(self.train_set.documents):,} documents",
            f"dev       {min(self.dev_set.number, options.dev_limit):,} sequences, of {len(self.dev_set.documents):,} other documents",
            *self.recompute.said,
            *self.rounds.decisions(self.model, self.work),
        ]


def _blueprint(options, inputs):
    """Returns the blueprint of the encoder.

    Raises:
        Mistake: It is no BERT, cannot be read, or has fewer positions than --max_length.
    """
    if "init" in inputs:
        blueprint = Blueprint.of_weights(inputs["init"])
    else:
        vocabulary = vocabulary_of(inputs["vocabulary"])
        blueprint = Blueprint.new(options.model, vocabulary, lower_case=pretrained.is_lower_case(vocabulary))
    if MASK not in blueprint.tokenizer.vocabulary:
        raise Mistake(f"{inputs.get('vocabulary') or inputs['init']}: expected a vocabulary with {MASK}, found none")
    if blueprint.architecture.name != "bert":
        raise Mistake(f"pretrain bert: expected a BERT, received {blueprint.architecture.title}")
    positions = blueprint.architecture.longest(blueprint.config)
    if options.max_length > positions:
        raise Mistake(f"--max_length {options.max_length} is more than the {positions} positions of the model")
    return blueprint

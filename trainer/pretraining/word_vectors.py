"""How word2vec is trained: a run's vocabulary, text and steps; and a finished run, whose vectors are compared."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from safetensors.numpy import load_file

from models.word2vec import word2vec as build
from trainer.corpora import making
from trainer.corpora.shards import describe
from trainer.data.plain_text import PlainText
from trainer.errors import Mistake
from trainer.options import Pretrain
from trainer.pretraining import word2vec
from trainer.pretraining.similarity import Vectors
from trainer.progress import say
from trainer.runs import PRETRAINING
from trainer.runs.blueprint import vocabulary_of
from trainer.runs.folder import method_of
from trainer.runs.fresh import of_counts
from trainer.runs.run import tokenizer_files
from trainer.text import counted
from trainer.text.segmenter import segmenter
from trainer.text.vocabulary import SPECIAL
from trainer.text.whole_words import Words
from trainer.training import batches, loop
from trainer.training.machine import device
from trainer.training.workers import ALONE, Workers
from trainer.weights import tensors

LEAST = 1e-4  # of the learning rate at the beginning, at the end: as in the paper's code


class Descent:
    """Stochastic gradient descent whose rate falls linearly: what the loop asks of an optimiser.

    Args:
        rate: At the beginning.
        total: Steps.
    """

    def __init__(self, rate: float, total: int) -> None:
        self.rate, self.total = rate, total
        self.steps = keras.Variable(0, dtype="int64", trainable=False, name="steps")
        self.variables = [self.steps]

    def __call__(self, steps: tf.Tensor) -> tf.Tensor:
        return self.rate * tf.maximum(LEAST, 1.0 - tf.cast(steps, tf.float32) / self.total)

    @property
    def learning_rate(self) -> float:
        return float(self(self.steps.value))


class Plan:
    """What a run will learn, from what, and how.

    Raises:
        Mistake: The text cannot be read, or has no words that are frequent enough.
    """

    def __init__(self, options: Pretrain, text: PlainText, inputs: dict[str, Path], workers: Workers = ALONE) -> None:
        if workers.number > 1:
            raise Mistake(
                f"pretrain word2vec: expected one worker, received {workers.number}: its steps are too short to share"
            )
        self.options, self.text = options, text
        segment = segmenter() if options.segment else None
        self.tokenizer = Words(self._vocabulary(inputs.get("vocabulary"), segment), lower_case=True)
        self.corpus = making.corpus(text, self.tokenizer)
        self.windows = word2vec.Windows(
            window=options.window, sample=options.sample, negatives=options.negatives, seed=options.seed
        )
        self.source = word2vec.Neighbourhoods(self.corpus, self.tokenizer.size, len(SPECIAL), self.windows)
        self.model = build(self.tokenizer.size, width=options.width, seed=options.seed)

    def _vocabulary(self, path, segment):
        options = self.options
        if path:
            return vocabulary_of(path)
        say(f"words     counting those of {self.text.size / 1e6:.1f} MB")
        counts = counted.count_lines(self.text, segment=segment)
        assert options.vocabulary_size and options.vocabulary_min_count  # the options have been checked
        entries = of_counts("words", counts, options.vocabulary_size, options.vocabulary_min_count)
        enough = sum(number >= options.vocabulary_min_count for number in counts.values())
        if enough > (taken := len(entries) - len(SPECIAL)):
            say(
                f"words     {enough:,} stand there {options.vocabulary_min_count} times or more, of which the most frequent "
                f"{taken:,} are taken (--vocabulary_size {options.vocabulary_size})"
            )
        return entries

    @cached_property
    def work(self) -> loop.Work:
        """The job of the run."""
        options, source = self.options, self.source
        descent = Descent(options.peak, source.number * options.epochs)

        def batches_of(epoch: int, skip: int) -> Iterator[tuple[list, int]]:
            plan = source.plan(1, seed=options.seed, epoch=epoch)[skip:]
            for step, _ in batches.steps(source, plan, 1, epoch):
                yield step, int(step[0][1])

        return loop.Work(
            model=self.model,
            optimizer=descent,
            steps=source.number,
            epochs=options.epochs,
            batches=batches_of,
            step=word2vec.training_step(
                self.model, self.windows, cbow=options.cbow, rate=descent, steps=descent.steps.value
            ),
            to_bytes=lambda model: tensors.to_bytes(model, tensors.by_path(model)),
            unit="words",
        )

    def settings(self) -> dict[str, Any]:
        """Returns the run's `config.json`; `Folder.start` adds its options."""
        return {
            "model_type": "word2vec",
            "vocabulary_size": self.tokenizer.size,
            "width": self.options.width,
            "lineage": {
                "task": PRETRAINING,
                "names": {"text": [Path(path).name for path in self.text.paths]},
            },
        }

    def files(self) -> dict[str, str]:
        """Returns {name: content} of the files beside `config.json` that a run has from its first moment."""
        return tokenizer_files(self.tokenizer)

    def decisions(self) -> list[str]:
        """Returns lines that say what will be trained, on what, and how."""
        options, source = self.options, self.source
        predicts = "words from their neighbours (CBOW)" if options.cbow else "neighbours from words (skip-gram)"
        kept = float((source.keep[self.corpus.shard(0).ids]).mean()) if self.corpus.pieces else 0.0
        return [
            *describe(self.corpus),
            f"task      {predicts}, {options.window} on either side at most, against {options.negatives} drawn words each; of the "
            f"text {kept:.0%} is kept, the rest are words too frequent (--sample {options.sample:g}) or unknown",
            f"train     {source.words:,} words of a vocabulary of {self.tokenizer.size:,}",
            f"model     {self.model.count_params():,} parameters",
            f"steps     {source.number * options.epochs:,} in {options.epochs} epochs; learning rate {options.peak:g}, then "
            f"linearly to 0; seed {options.seed}",
            f"device    {device(options.precision)}",
        ]


def vectors_of(folder: Path) -> Vectors:
    """Returns the vectors of a finished run.

    Raises:
        Mistake: It is none of word2vec, or not finished.
    """
    if method_of(folder) != "word2vec":
        raise Mistake(f"{folder}: expected a run of `python -m trainer pretrain word2vec`, found another folder")
    if not (folder / "metrics.json").is_file():
        raise Mistake(f"{folder}: expected a finished run, found an unfinished one")
    words = vocabulary_of(folder / "vocab.txt")
    table = load_file(folder / "model.safetensors")["words_embedding/embeddings"]
    return Vectors(words, table, special=len(SPECIAL))

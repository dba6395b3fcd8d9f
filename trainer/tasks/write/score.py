"""Scores of what was written, as sacreBLEU computes them.

Reference: Post 2018, https://aclanthology.org/W18-6319; chrF: Popović 2015, https://aclanthology.org/W15-3049.

Glossary of shapes: N examples.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.data import answered, files
from trainer.data.conll import CJK
from trainer.data.schema import Row
from trainer.reports.outcomes import Outcomes, Scores, Wrong, ratio
from trainer.tasks.setup import Setup
from trainer.tasks.write.answer import Writer
from trainer.tasks.write.examples import pairs
from trainer.tasks.write.step import TARGETS, plain_loss
from trainer.training import batches
from trainer.training.step import in_float32


class Scorer:
    """Scores a model as it is when called: () -> {bleu, chrf, perplexity, loss, examples, signature}.

    BLEU and chrF are in percent; the loss is of a unit, of the plain target. With `tune`, as in training, the best unit is
    taken at each step; otherwise what is exported writes. Other arguments as `trainer.tasks.kind.MakeScorer`.
    """

    def __init__(
        self, model: keras.Model, setup: Setup, rows: list[Row], batch_size: int, *, tune: bool = False
    ) -> None:
        self.setup, self.rows, self.metric = setup, rows, setup.task.metric
        self.field = setup.fields[0]
        self.golds = [row[setup.task.target] for row in rows]
        self.measures = Measures(self.golds)
        self.pairs = pairs(rows, setup)
        self.plan = batches.plan_evaluation(self.pairs.lengths, batch_size)
        writer = Writer(model, setup)
        self.beams, self.length_penalty = 1 if tune else writer.beams, writer.length_penalty
        pieces = tf.RaggedTensorSpec([None, None], tf.int32, row_splits_dtype=self.pairs.sources.row_splits.dtype)

        @tf.function(input_signature=[pieces], autograph=False)
        def write(ids):
            return writer.reader.tokenizer.text(writer(ids, self.beams).ids[:, 0])

        @tf.function(input_signature=[setup.reader.inputs(), TARGETS], autograph=False)
        def losses(inputs, targets):
            return plain_loss(targets, in_float32(model(inputs, training=False)))

        self.write, self.losses = write, losses

    def __call__(self, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Returns the scores; `tick` is called between batches."""
        self.predicted, self.sums = [""] * len(self.rows), np.zeros([len(self.rows), 2])
        for batch, (inputs, targets) in zip(self.plan, batches.dataset(self.pairs, self.plan), strict=True):
            total, count = self.losses(inputs, targets)
            self.sums[batch[0]] = float(total), float(count)
            texts = self.write(tf.gather(self.pairs.sources, batch)).numpy()
            for i, text in zip(batch, texts, strict=True):
                self.predicted[i] = text.decode("utf-8")
            tick()
        self.statistics = self.measures.statistics(self.predicted)
        scores = self._scores(np.concatenate([self.sums, self.statistics], axis=1).sum(axis=0))
        rounded = {name: round(float(value), 6) for name, value in scores.items()}
        return rounded | {"examples": len(self.rows), "signature": self.measures.signature}

    def _scores(self, sums: np.ndarray) -> Scores:
        """Returns the scores of sums [..., 2 + those of `Measures`]."""
        loss = ratio(sums[..., 0], sums[..., 1])
        return self.measures.scores(sums[..., 2:]) | {"perplexity": np.exp(loss), "loss": loss}

    def outcomes(self) -> Outcomes:
        """Returns what was seen at the last call."""
        return Outcomes(
            unit="sentences",
            percent=True,
            statistics=self.statistics,
            scores=self.measures.scores,
            shown=("bleu", "chrf"),
            lengths={"characters of the source": np.array([len(row[self.field]) for row in self.rows])},
            wrong=self._wrong,
        )

    def _wrong(self):
        for row, predicted, statistics in zip(self.rows, self.predicted, self.statistics, strict=True):
            if predicted != row[self.setup.task.target]:
                chrf = float(self.measures.scores(statistics)["chrf"])
                yield Wrong(100 - chrf, row | {"predicted": predicted, "chrf": round(chrf, 6)})

    def predictions(self, path: str | Path, column: str | int | None = None) -> dict[str, str | list[Row]]:
        """Returns {ending: what was written}: rows for a table or JSON, else a line for each."""
        if answered.is_table(path) or files.is_json(path):
            return {"": [row | {"predicted": text} for row, text in zip(self.rows, self.predicted, strict=True)]}
        return {"": "".join(f"{text}\n" for text in self.predicted)}

    def variants(self) -> dict[str, Any]:
        """Returns {name: scores} of other forms of the rows; there are none."""
        return {}

    def __str__(self) -> str:
        how = (
            f"{self.beams} hypotheses at a time, length penalty {self.length_penalty:g}"
            if self.beams > 1
            else "the best unit at each step"
        )
        return f"{self.pairs}; {how}; {self.measures.signature}"


class Measures:
    """BLEU and chrF against gold texts, of sums of what sacreBLEU counts in each sentence.

    Args:
        golds: A text a row. Where most letters are Chinese characters, BLEU is of characters, as WMT scores Chinese.
    """

    def __init__(self, golds: list[str]) -> None:
        from sacrebleu.metrics import BLEU, CHRF  # here: it takes time that only those who translate have to spend

        letters = [letter for text in golds for letter in text if letter.isalpha()]
        chinese = sum(bool(CJK.match(letter)) for letter in letters) > len(letters) / 2
        # `force`: texts that end in " ." are no mistake here
        self.bleu, self.chrf = BLEU(tokenize="zh" if chinese else "13a", force=True), CHRF()
        self.golds = golds
        for metric in (self.bleu, self.chrf):
            metric.corpus_score(golds, [golds])  # fills in the signature
        self.signature = str(self.bleu.get_signature())
        self.counts = 2 + 2 * self.bleu.max_ngram_order

    def statistics(self, texts: list[str]) -> np.ndarray:
        """Returns what is counted in each text, float [N, K]: of BLEU, then of chrF."""
        found = [metric._extract_corpus_statistics(texts, [self.golds]) for metric in (self.bleu, self.chrf)]
        return np.concatenate([np.array(counts, float) for counts in found], axis=1)

    def scores(self, sums: np.ndarray) -> Scores:
        """Returns {bleu, chrf}, in percent, of sums [..., K]."""
        flat = sums.reshape([-1, sums.shape[-1]])
        score = lambda metric, rows: [metric._compute_score_from_stats(row.tolist()).score for row in rows]
        bleu, chrf = score(self.bleu, flat[:, : self.counts]), score(self.chrf, flat[:, self.counts :])
        return {"bleu": np.reshape(bleu, sums.shape[:-1]), "chrf": np.reshape(chrf, sums.shape[:-1])}

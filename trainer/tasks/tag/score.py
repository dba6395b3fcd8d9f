"""Scores of a tagger, on given words and from raw text."""

from collections import Counter
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer import metrics
from trainer.data import conll
from trainer.data.schema import Row
from trainer.errors import Mistake
from trainer.progress import say
from trainer.reports.outcomes import Outcomes
from trainer.tasks.setup import Setup
from trainer.tasks.tag import segmentation
from trainer.tasks.tag.answer import functions
from trainer.tasks.tag.outcomes import outcomes
from trainer.training import batches


class Scorer:
    """Scores a model as it is when called, by the functions that are exported: every word counts, in rows of any length.

    Returns {accuracy, words_..., tags_..., examples, words}: accuracy of the tags on gold words; precision, recall and F1 of
    the words found in the raw text, and of these with their tags, see `metrics.aligned`; `spans_f1` if the tags are BIO.
    `metric` is the score by which epochs are compared.
    """

    def __init__(
        self, model: keras.Model, setup: Setup, rows: list[Row], batch_size: int, *, tune: bool = False
    ) -> None:
        _tell_unknown(rows, setup.labels)
        self.known = setup.labels[: setup.labels.index(segmentation.INSIDE)]  # tags
        self.functions = functions(model, setup)
        are_bio = metrics.are_bio([tag for row in rows for tag in row["tags"]])
        self.metric = "spans_f1" if are_bio else setup.task.metric
        self.rows = rows
        self.plan = batches.plan_evaluation(np.array([len(row["text"]) for row in rows]), batch_size)

    def __call__(self, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Returns the scores; `tick` is called between batches."""
        self.tags: list = [None] * len(self.rows)  # of the given words
        self.surety: list = [None] * len(self.rows)  # likewise
        self.words: list = [None] * len(self.rows)  # (start, end, tag) of those found in the raw text
        for batch in self.plan:
            words = tf.ragged.constant([self.rows[i]["words"] for i in batch]).to_tensor("")
            of_words = self.functions["words"](words)
            tags, surety = of_words["tags"].numpy(), of_words["scores"].numpy()
            tick()
            answer = self.functions["serving_default"](tf.constant([self.rows[i]["text"] for i in batch]))
            columns = [answer[name].numpy() for name in ("starts", "ends", "tags")]
            tick()
            for place, i in enumerate(batch):
                count = len(self.rows[i]["words"])
                self.tags[i] = [tag.decode("utf-8") for tag in tags[place][:count]]
                self.surety[i] = surety[place][:count].tolist()
                count = int(np.sum(columns[0][place] >= 0))
                words_of_row = zip(*[column[place][:count] for column in columns], strict=True)
                self.words[i] = [(int(start), int(end), tag.decode("utf-8")) for start, end, tag in words_of_row]
        return self._scores()

    def _scores(self):
        golds = [row["tags"] for row in self.rows]
        flat = lambda lists: [tag for tags in lists for tag in tags]
        scores = {"accuracy": metrics.accuracy(flat(golds), flat(self.tags))}
        if self.metric == "spans_f1":
            scores["spans_f1"] = metrics.spans_f1(golds, self.tags)
        scores |= metrics.aligned(self.rows, self._covering())
        counts = {"examples": len(self.rows), "words": len(flat(golds))}
        return {name: round(value, 6) for name, value in scores.items()} | counts

    def _covering(self):
        return [conll.covering(row["text"], words) for row, words in zip(self.rows, self.words, strict=True)]

    def outcomes(self) -> Outcomes:
        """Returns what was seen at the last call."""
        are_bio = self.metric == "spans_f1"
        return outcomes(self.rows, self.tags, self.surety, self._covering(), self.known, are_bio=are_bio)

    def predictions(self, path: str | Path, column: str | int | None = None) -> dict[str, str]:
        """Returns {ending: content} of files of what was predicted: CoNLL-U of the raw texts (path in .conllu), as the scorers of
        CoNLL 2018 read it; else columns word, gold tag, predicted tag of the given words, as conlleval reads them."""
        if str(path).endswith(".conllu"):
            pairs = zip(self.rows, self.words, strict=True)
            return {"": "".join(conll.to_universal(row["text"], words, column) for row, words in pairs)}
        lines = [
            [f"{word} {gold} {tag}\n" for word, gold, tag in zip(row["words"], row["tags"], tags, strict=True)]
            for row, tags in zip(self.rows, self.tags, strict=True)
        ]
        return {"": "\n".join("".join(sentence) for sentence in lines)}

    def variants(self) -> dict[str, Any]:
        """Returns {name: scores} of other forms of the rows: Chinese as it is typed, if it was written otherwise."""
        wide = [conll.full_width(row) for row in self.rows]
        if not any(wide):
            return {}
        scorer = copy(self)  # the functions are traced
        scorer.rows = [variant or row for variant, row in zip(wide, self.rows, strict=True)]
        return {"full_width": scorer()}

    def __str__(self) -> str:
        return f"{len(self.rows):,} sentences, {sum(len(row['words']) for row in self.rows):,} words"


def _tell_unknown(rows, labels):
    """Says which gold tags the run does not know: words that have them are never right.

    Raises:
        Mistake: It knows none.
    """
    known = {*labels[: labels.index(segmentation.INSIDE)]}
    counts = Counter(tag for row in rows for tag in row["tags"])
    unknown = {tag: count for tag, count in counts.items() if tag not in known}
    names = ", ".join([*unknown][:20]) + (f", and {len(unknown) - 20} more" if len(unknown) > 20 else "")
    if len(unknown) == len(counts):
        raise Mistake(
            f"expected tags that this run knows ({', '.join(sorted(known))}), found {names}; see --column for others of a treebank"
        )
    if unknown:
        total = f"{sum(unknown.values()):,} of {counts.total():,}"
        say(f"note      {total} words have tags that this run does not know: {names}")

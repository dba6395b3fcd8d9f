"""Scores of answers to questions, as the official scorers compute them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.data import squad
from trainer.data.schema import Row
from trainer.reports.outcomes import Outcomes
from trainer.tasks.setup import Setup
from trainer.tasks.span.answer import best_answers
from trainer.tasks.span.outcomes import outcomes
from trainer.training import batches


class Scorer:
    """Scores a model as it is when called, by the function that is exported, as the official scorers do, in percent.

    Returns {exact, f1, examples}: of CMRC 2018 where most gold answers are Chinese, else of SQuAD 1.1; of SQuAD 2.0 if some
    questions have no answer, then also HasAns_ and NoAns_ of both, the best thresholds for the null score and what they give
    (best_), and what answering always gives (AlwaysAns_). `tune`: score with the threshold that is best here, as the run will
    keep it, not with that of `setup`. `null_threshold`, which the run keeps, lies between the best threshold for f1, which is
    the null score of a question, and the next null score: so the last bit of a score decides nothing.
    `metric` is the score by which epochs are compared.
    """

    def __init__(
        self, model: keras.Model, setup: Setup, rows: list[Row], batch_size: int, *, tune: bool = False
    ) -> None:
        self.rows, self.threshold = rows, setup.null_threshold
        self.read = best_answers(model, setup)
        self.golds = [[answer["text"] for answer in row["answers"]] for row in rows]
        self.as_in = squad.scored_as(self.golds)
        self.metric = setup.task.metric if all(self.golds) else "best_f1"
        self.tune = tune and not all(self.golds)
        self.plan = batches.plan_evaluation(np.array([len(row["context"]) for row in rows]), batch_size)

    def __call__(self, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Returns the scores; `tick` is called between batches."""
        self.best, self.null = [""] * len(self.rows), [1.0] * len(self.rows)
        self.surety = [0.0] * len(self.rows)  # of the best
        for batch in self.plan:
            fields = [tf.constant([self.rows[i][field] for i in batch]) for field in ("question", "context")]
            answers = self.read(*fields)
            columns = (answers["answers"][:, 0], answers["null_score"], answers["scores"][:, 0])
            for i, text, null, surety in zip(batch, *[column.numpy() for column in columns], strict=True):
                self.best[i], self.null[i], self.surety[i] = text.decode("utf-8"), float(null), float(surety)
            tick()
        return self._scores()

    def _scores(self):
        always = {} if all(self.golds) else squad.score(self.golds, self.best, self.null)
        if always:
            best = always["best_f1_thresh"]
            tuned = (best + min((null for null in self.null if null > best), default=1.0)) / 2
        threshold = tuned if self.tune else self.threshold
        withheld = [threshold is not None and null > threshold for null in self.null]
        self.given = ["" if no else text for no, text in zip(withheld, self.best, strict=True)]
        score = squad.score(self.golds, self.given)
        if always:
            score |= {name: value for name, value in always.items() if name.startswith("best_")}
            score |= {f"AlwaysAns_{name}": always[name] for name in ("exact", "f1")}
            score["null_threshold"] = tuned
        # Thresholds are not rounded: the null scores of a sure model are near 0.
        rounded = {name: value if "thresh" in name else round(value, 6) for name, value in score.items()}
        return rounded | {"examples": len(self.rows)}

    def outcomes(self) -> Outcomes:
        """Returns what was seen at the last call; of an answer that is withheld, its null score says how sure that is."""
        triples = zip(self.given, self.surety, self.null, strict=True)
        confidences = [surety if text else null for text, surety, null in triples]
        scores = [squad.score_each(self.golds, answers) for answers in (self.given, self.best)]
        return outcomes(self.rows, self.given, confidences, *scores)

    def predictions(self, path: str | Path, column: str | int | None = None) -> dict[str, str]:
        """Returns {ending: content} of files of what was predicted, in the official form: {id: answer}; if some questions have
        no answer also {id: null score}, beside it."""
        ids = [row["id"] for row in self.rows]
        files: dict[str, dict] = {"": dict(zip(ids, self.given, strict=True))}
        if not all(self.golds):
            files[".null_odds.json"] = dict(zip(ids, self.null, strict=True))
        return {name: json.dumps(content, ensure_ascii=False) + "\n" for name, content in files.items()}

    def variants(self) -> dict[str, Any]:
        """Returns {name: scores} of other forms of the rows; there are none."""
        return {}

    def __str__(self) -> str:
        threshold = "" if self.threshold is None else f"; no answer where its null score is above {self.threshold:g}"
        return f"{len(self.rows):,} questions, scored as {self.as_in} is{threshold}"

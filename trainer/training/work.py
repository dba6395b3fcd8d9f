"""The job of a run, as the loop takes it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from trainer.training.step import Measures
from trainer.training.workers import ALONE, Workers

Scores = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """The job of a run: what is trained, how it takes its steps, and when it ends.

    Args:
        model, optimizer: Built; set from the checkpoint if there is one.
        steps: Steps of the optimiser an epoch.
        epochs: At most.
        period: What is called an epoch here: pretraining is scored more often than once an epoch.
        unit: What `batches` counts.
        shown: Scores that are printed, beside the metric.
        flops: Floating-point operations that a unit takes at least, to say what share of `ceiling` is reached; 0: unknown.
        ceiling: Such operations a second, see `trainer.training.machine`.
        batches: (epoch from 1, steps to leave out) -> iterator of (what `step` takes, number of examples, or of `unit`); of
            several workers, those of this one.
        step: Makes one step; returns its measures.
        to_bytes: model -> content of its file of weights.
        score: (function to call now and then) -> scores of the model as it is; None: there is nothing to score on.
        report: () -> where the model fails, as `score` last saw it.
        learned: () -> what is shown of the model beside the scores of an epoch, and kept with them, by name.
        carried: What else passes from step to step, as the states of a language model do.
        workers: That make the steps together.
        metric: The score by which epochs are compared, more is better, unless `less_is_better`.
        patience: Stop after so many epochs without a better score; None: never.
        keep_best: Keep the weights of the best epoch, not of the last.
        average: Keep the mean of the weights of so many last epochs; 0: of none.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    steps: int
    epochs: int
    batches: Callable[[int, int], Iterator[tuple[Any, int]]]
    step: Callable[[Any], Measures]
    to_bytes: Callable[[keras.Model], bytes]
    score: Callable[[Callable[[], None]], Scores] | None = None
    report: Callable[[], dict[str, Any]] | None = None
    learned: Callable[[], dict[str, float]] | None = None
    metric: str = ""
    patience: int | None = None
    keep_best: bool = False
    average: int = 0
    period: str = "epoch"
    unit: str = "examples"
    shown: tuple[str, ...] = ()
    flops: float = 0.0
    ceiling: float = 0.0
    less_is_better: bool = False
    carried: Sequence[keras.Variable] = ()
    workers: Workers = ALONE

    def variables(self) -> list[keras.Variable]:
        """Returns all that a checkpoint holds, in order."""
        return [*self.model.variables, *self.optimizer.variables, *self.carried]

    def best(self, scores: list[Scores]) -> Scores | None:
        """Returns the best score, the first of equals; None without scores."""
        sign = -1 if self.less_is_better else 1
        better = lambda score: (sign * score[self.metric], -score[self.period])
        return max(scores, key=better) if scores and self.score else None

    def ended(self, scores: list[Scores]) -> bool:
        """Says whether the run with these scores of its epochs is over."""
        best = self.best(scores)
        stale = self.patience and best and len(scores) - best[self.period] >= self.patience
        return len(scores) == self.epochs or bool(stale)

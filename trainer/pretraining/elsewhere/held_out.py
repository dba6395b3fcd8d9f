"""Scores of what `trainer.pretraining.elsewhere.training` trains, on text that it does not."""

from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from trainer.pretraining.elsewhere import steps as compiled
from trainer.weights import tensors

B = TypeVar("B", bound=compiled.Rows)


class HeldOut(Generic[B]):
    """What is scored, always the same, in float32 whatever the training is in.

    Args:
        objective: What is learned.
        batches: Of what is scored, by name.
    """

    def __init__(self, objective: compiled.Objective[B], batches: dict[str, list[B]]) -> None:
        self.objective, self.batches = objective, batches
        self.model = objective.model(0.0)
        self.score = compiled.scoring(self.model, objective)

    def __call__(self, weights: dict[str, np.ndarray]) -> dict[str, Any]:
        """Returns scores by name.

        Args:
            weights: {name: tensor}, as the run keeps them.
        """
        file = tensors.TensorFile(
            Path(), {name: value.copy for name, value in weights.items()}, {name: name for name in weights}, 0
        )
        tensors.load(self.model, file, self.objective.table(self.model))
        trainable, fixed = map(compiled.values, (self.model.trainable_variables, self.model.non_trainable_variables))
        found = {}
        for name, batches in self.batches.items():
            states = self.objective.states(self.model, batches[0].rows)
            found[name] = self.score(trainable, fixed, states, batches)
        return self.objective.scores(found)

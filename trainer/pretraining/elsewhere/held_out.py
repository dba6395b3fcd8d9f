"""Scores of what `trainer.pretraining.elsewhere.training` trains, on documents that it does not: the numbers of `trainer.pretraining.masked`,
on the JAX backend, for the corpora of each name.
"""

from pathlib import Path
from typing import Any

import numpy as np

from trainer.pretraining.elsewhere import steps as compiled
from trainer.pretraining.elsewhere.mixture import Batch, Mixture
from trainer.pretraining.elsewhere.prepared import Prepared
from trainer.pretraining.masking import NOTHING
from trainer.pretraining.passages import PASS_OF_SCORES
from trainer.weights import tensors
from trainer.weights.bert import table


class HeldOut:
    """Passages that are scored, with masks that are always the same, in float32 whatever the training is in.

    Args:
        prepared: Where they come from.
        mixture: The passages.
        batch_size: Sequences at once.
    """

    def __init__(self, prepared: Prepared, mixture: Mixture, batch_size: int) -> None:
        self.mixture = mixture
        self.model = compiled.model_of(prepared.arguments(0.0), pairs=prepared.pairs, seed=0)
        self.score = compiled.scoring(self.model)
        self.batches: dict[str, list[Batch]] = {}
        for part in mixture.parts:
            for start in range(0, part.passages.number, batch_size):
                rows = range(start, min(start + batch_size, part.passages.number))
                examples = [part.passages.example(row, PASS_OF_SCORES) for row in rows]
                self.batches.setdefault(part.name, []).append(mixture.of(examples, batch_size))
        self.names = [*self.batches]
        shares = prepared.frequencies()
        self.unigrams = {name: self._unigram(shares[name], batches) for name, batches in self.batches.items()}

    @staticmethod
    def _unigram(shares, batches):
        """Returns the loss of the masked pieces by how often they are: what is known without a look at the text."""
        words = np.concatenate([batch.words[batch.words != NOTHING] for batch in batches])
        return float(-np.mean(np.log(shares[words])))

    def __call__(self, weights: dict[str, np.ndarray]) -> dict[str, float]:
        """Returns scores by name: of all that is held out, and of the corpora of each name (`en_masked_loss`, ...).

        Args:
            weights: {name: tensor}, as the run keeps them.
        """
        file = tensors.TensorFile(
            Path(), {name: value.copy for name, value in weights.items()}, {name: name for name in weights}, 0
        )
        tensors.load(self.model, file, table(self.model))
        trainable, fixed = map(compiled.values, (self.model.trainable_variables, self.model.non_trainable_variables))
        found = {name: self.score(trainable, fixed, batches) for name, batches in self.batches.items()}
        scores = measures_of(np.sum(list(found.values()), axis=0))
        for name, sums in found.items():
            scores |= {f"{name}_{measure}": value for measure, value in measures_of(sums).items()}
            scores |= {f"{name}_unigram_loss": self.unigrams[name], f"{name}_masked": int(sums[0, 2])}
        return {name: round(value, 6) for name, value in scores.items()}


def measures_of(sums: Any) -> dict[str, float]:
    """Returns measures by name of what `trainer.pretraining.elsewhere.steps.sums` gives; `loss` first."""
    measures = {"loss": 0.0}
    for name, (loss, right, number) in zip(compiled.PARTS, sums.tolist(), strict=True):
        if number:
            measures |= {f"{name}_loss": loss / number, f"{name}_accuracy": right / number}
            measures["loss"] += loss / number
    return measures

"""The objective of language models on the JAX backend: the loss and the scores of `trainer.pretraining.next_units`, over all units.

Glossary of shapes: K directions, B batch, S length of a window, V vocabulary, L letters.
"""

from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from keras import ops

from models.elmo import BACKWARD
from trainer.architectures.table import ARCHITECTURES
from trainer.pretraining.elsewhere.prepared import nats
from trainer.pretraining.elsewhere.steps import Measures, made, sums_of
from trainer.pretraining.elsewhere.streams import TEXT, Batch, Streams
from trainer.pretraining.masking import NOTHING
from trainer.weights.tensors import Stored


class NextUnits:
    """See `trainer.pretraining.elsewhere.steps.Objective`.

    Args:
        prepared: Where the text comes from.
        held_out: Batches of what is scored, by name.
    """

    def __init__(self, prepared: Streams, held_out: dict[str, list[Batch]]) -> None:
        self.prepared, self.unit = prepared, prepared.facts["units"]
        self.architecture = ARCHITECTURES[prepared.settings["model_type"]]
        self.config = self.architecture.from_settings(prepared.settings, Path("config.json"))
        letters = prepared.letters()
        self.letters = None if letters is None else jax.numpy.asarray(letters)  # [V, L]
        frequencies = prepared.frequencies()
        self.unigram = sum(
            nats(frequencies, batch.targets[batch.targets != NOTHING]) for batch in held_out.get(TEXT, [])
        )
        # Rows of those batches: fewer, where there is little of them
        self.rows = next((batch.rows for batch in held_out.get(TEXT, [])), 1)

    def model(self, dropout: float, policy: str = "float32") -> keras.Model:
        seed = self.prepared.facts["seed"]
        config = self.architecture.with_dropout(self.config, dropout)
        return made(lambda: self.architecture.build_language_model(config, seed=seed), seed, policy)

    def table(self, model: keras.Model) -> dict[str, Stored]:
        return self.architecture.table(model)

    def states(self, model: keras.Model, rows: int) -> dict[str, Any]:
        return {name: ops.zeros([rows, *shape]) for name, shape in _states(model).items() if None not in shape}

    def inputs(self, model: keras.Model, batch: Batch) -> dict[str, Any]:
        names = ["", BACKWARD][: len(batch.ids)]
        given = {f"{name}token_ids": batch.ids[i] for i, name in enumerate(names)}
        if self.letters is not None:
            given |= {f"{name}letters": self.letters[batch.ids[i]] for i, name in enumerate(names)}  # [B, S, L]
        growing = {name: shape for name, shape in _states(model).items() if None in shape}  # keys and values
        return given | {
            name: ops.zeros([batch.rows, *(size or 0 for size in shape)]) for name, shape in growing.items()
        }

    def begins(self, batch: Batch) -> Any:
        return batch.begins

    def sums(self, outputs: dict[str, Any], batch: Batch) -> Any:
        directions = [sums_of(logits, batch.targets[i], NOTHING) for i, logits in enumerate(outputs["logits"])]
        return ops.sum(ops.stack(directions), axis=0)[None]

    def measures(self, sums: np.ndarray) -> Measures:
        loss, right, number = sums[0].tolist()
        return {"loss": loss / max(number, 1.0), "accuracy": right / max(number, 1.0)}

    def scores(self, found: dict[str, np.ndarray]) -> dict[str, Any]:
        if not found:
            return {}
        loss, right, number = found[TEXT][0].tolist()
        _, windows = self.prepared.windows(self.rows)
        return windows.scores(loss, right, int(number), self.unigram)

    def read(self, batch: Batch) -> int:
        return batch.ids[0].size

    def plan(self) -> list[str]:
        train, dev = self.prepared.streams()
        state = "; states are carried on from one batch to the next" if self.prepared.facts["carried"] else ""
        ways = ", and of the one before" if self.prepared.facts["directions"] == 2 else ""
        length = self.prepared.facts["max_length"]
        return [
            f"task      the next of {length} {self.unit}{ways}{state}; the softmax is over all {self.prepared.entries:,}",
            f"train     {len(train):,} {self.unit}, in windows of {length}",
            f"dev       {len(dev):,} {self.unit}, {dev.characters:,} characters, "
            f"{self.prepared.facts['dev_limit']:,} windows at most",
        ]

    def said(self, scores: dict[str, Any]) -> str:
        names = ("loss", "perplexity", "accuracy", "bits_per_character", "unigram_loss")
        return ", ".join(f"{name} {scores[name]:.4f}" for name in names if name in scores)


def _states(model):
    """Returns {name: shape of a row} of the inputs that are states."""
    return {tensor.name: list(tensor.shape[1:]) for tensor in model.inputs if tensor.name in model.output["states"]}

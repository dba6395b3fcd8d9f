"""BERT's objectives on the JAX backend: the loss and the scores of `trainer.pretraining.masked`, for the corpora of each name.

The loss is the mean over the masked places, plus the mean over the sequences.

Glossary of shapes: B batch, S sequence length, P places of a row, V vocabulary.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from models import heads
from models.bert import bert
from trainer.pretraining.elsewhere.documents import Documents
from trainer.pretraining.elsewhere.mixture import Batch
from trainer.pretraining.elsewhere.prepared import nats
from trainer.pretraining.elsewhere.steps import Measures, made, sums_of
from trainer.pretraining.masking import NOTHING
from trainer.weights.bert import table
from trainer.weights.tensors import Stored

PARTS = ("masked", "next")


class Masked:
    """See `trainer.pretraining.elsewhere.steps.Objective`.

    Args:
        prepared: Where the text comes from.
        held_out: Batches of what is scored, by name.
    """

    unit = "tokens"

    def __init__(self, prepared: Documents, held_out: dict[str, list[Batch]]) -> None:
        self.prepared, self.pairs = prepared, prepared.pairs
        frequencies = prepared.frequencies()
        words = {name: [batch.words[batch.words != NOTHING] for batch in batches] for name, batches in held_out.items()}
        self.unigrams = {name: nats(frequencies[name], np.concatenate(of)) for name, of in words.items()}

    def model(self, dropout: float, policy: str = "float32") -> keras.Model:
        arguments, seed = self.prepared.arguments(dropout), self.prepared.facts["seed"]

        def make():
            encoder = bert(**arguments, seed=seed)
            of_head = {name: arguments[name] for name in ("activation", "epsilon")}
            return heads.masked_words(encoder, next_sentence=self.pairs, places=True, **of_head)

        return made(make, seed, policy)

    def table(self, model: keras.Model) -> dict[str, Stored]:
        return table(model)

    def states(self, model: keras.Model, rows: int) -> dict[str, Any]:
        return {}

    def inputs(self, model: keras.Model, batch: Batch) -> dict[str, Any]:
        ids = ops.cast(batch.ids, "int32")
        places = ops.arange(ids.shape[1], dtype="int32")[None]  # [1, S]
        mask = places < batch.lengths[:, None]  # [B, S]
        segments = ops.cast(ops.logical_and(mask, places >= batch.seconds[:, None]), "int32")
        return {"token_ids": ids, "segment_ids": segments, "mask": mask, "places": batch.places}

    def begins(self, batch: Batch) -> Any:
        return True

    def sums(self, outputs: dict[str, Any], batch: Batch) -> Any:
        rows = [sums_of(outputs["words"], batch.words, NOTHING)]
        if self.pairs:
            rows.append(sums_of(outputs["next"], batch.next, NOTHING))
        return ops.stack(rows)

    def measures(self, sums: np.ndarray) -> Measures:
        measures = {"loss": 0.0}
        for name, (loss, right, number) in zip(PARTS, sums.tolist(), strict=False):
            if number:
                measures |= {f"{name}_loss": loss / number, f"{name}_accuracy": right / number}
                measures["loss"] += loss / number
        return measures

    def scores(self, found: dict[str, np.ndarray]) -> dict[str, Any]:
        """Returns scores of all that is held out, and of the corpora of each name (`en_masked_loss`, ...)."""
        scores = self.measures(np.sum(list(found.values()), axis=0))
        for name, sums in found.items():
            masked = int(sums[0, 2])
            scores |= {f"{name}_{measure}": value for measure, value in self.measures(sums).items()}
            scores |= {f"{name}_unigram_loss": self.unigrams[name] / max(masked, 1), f"{name}_masked": masked}
        return {name: round(value, 6) for name, value in scores.items()}

    def read(self, batch: Batch) -> int:
        return int(np.sum(batch.lengths))

    def plan(self) -> list[str]:
        train, dev = self.prepared.mixtures()
        lines = []
        for source, part in zip(self.prepared.sources, train.parts, strict=True):
            of, times = part.passages, f", {part.times} times a pass" if part.times > 1 else ""
            lines.append(
                f"train     {source.name}: {of.number:,} sequences of {len(of.documents):,} documents, "
                f"{source.corpus.pieces:,} pieces{times}"
            )
        return lines + [
            f"dev       {part.name}: {part.passages.number:,} sequences of {len(part.passages.documents):,} other documents"
            for part in dev.parts
        ]

    def said(self, scores: dict[str, Any]) -> str:
        shown = ("masked_loss", "masked_accuracy", "next_accuracy")[: 2 + self.pairs]
        named = lambda name: ", ".join(f"{measure} {scores[f'{name}_{measure}']:.4f}" for measure in shown)
        return "; ".join(f"{name}: {named(name)}" for name in self.unigrams)

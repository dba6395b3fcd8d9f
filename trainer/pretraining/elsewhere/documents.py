"""What BERT is pretrained from elsewhere: the documents of several corpora, as passages in mixed order. Imports no framework."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.corpora.shards import shares
from trainer.pretraining.elsewhere.mixture import Batch, Mixture, Part
from trainer.pretraining.elsewhere.prepared import Prepared
from trainer.pretraining.masking import Masking
from trainer.pretraining.passages import PASS_OF_SCORES, Passages, divided
from trainer.text.vocabulary import MASK
from trainer.weights.bert import ARGUMENTS, check_config


@dataclass(frozen=True)
class Mixed:
    """Batches of a mixture, of so many rows."""

    mixture: Mixture
    size: int

    @property
    def of_pass(self) -> float:
        return self.mixture.number / self.size

    def batch(self, number: int) -> Batch:
        return self.mixture.batch(number, self.size)


class Documents(Prepared[Batch]):
    """A folder for BERT."""

    READING = (
        *("model", "objectives", "masking", "segment", "max_length", "max_predictions", "masked_share", "short"),
        *("held_out", "seed"),
    )

    def check(self, path: Path) -> None:
        check_config(self.settings, path)

    def arguments(self, dropout: float) -> dict[str, Any]:
        """Returns the arguments of `models.bert.bert`."""
        given = {name: self.settings[theirs] for theirs, name in ARGUMENTS.items()}
        return given | {"vocabulary_size": len(self.vocabulary), "dropout": dropout, "attention_dropout": dropout}

    def settings_of_run(self) -> dict[str, Any]:
        kind = "ForPreTraining" if self.pairs else "ForMaskedLM"
        return super().settings_of_run() | {"architectures": [f"Bert{kind}"]}

    @property
    def pairs(self) -> bool:
        return "nsp" in self.facts["objectives"]

    def batches(self, size: int) -> Mixed:
        return Mixed(self.mixtures()[0], size)

    def held_out(self, size: int) -> dict[str, list[Batch]]:
        mixture = self.mixtures()[1]
        batches: dict[str, list[Batch]] = {}
        for part in mixture.parts:
            for start in range(0, part.passages.number, size):
                rows = range(start, min(start + size, part.passages.number))
                examples = [part.passages.example(row, PASS_OF_SCORES) for row in rows]
                batches.setdefault(part.name, []).append(mixture.of(examples, size))
        return batches

    def objective(self, held_out: dict[str, list[Batch]]) -> Any:
        from trainer.pretraining.elsewhere.masked import Masked

        return Masked(self, held_out)

    def summary(self) -> dict[str, Any]:
        train, dev = self.mixtures()
        pieces = sum(source.corpus.pieces for source in self.sources)
        return {"pieces": pieces, "sequences": train.number, "held_out_sequences": dev.number}

    def mixtures(self) -> tuple[Mixture, Mixture]:
        """Returns what is trained on, and what is scored."""
        parts: tuple[list[Part], list[Part]] = ([], [])
        for name, times, corpus in self.sources:
            held_out, trained = divided(corpus.documents, self.facts["held_out"], least=1 + self.pairs)
            parts[0].append(Part(name, self._passages(corpus, trained), times))
            parts[1].append(Part(name, self._passages(corpus, held_out)))
        how = {"max_length": self.facts["max_length"], "most": self.facts["max_predictions"]}
        train, dev = (Mixture(of, seed=self.facts["seed"], **how) for of in parts)
        return train, dev

    def _passages(self, corpus, documents):
        facts = self.facts
        mask = self.vocabulary.index(MASK)
        return Passages(
            corpus,
            self.vocabulary,
            Masking(mask, len(self.vocabulary), facts["masked_share"], facts["max_predictions"]),
            max_length=facts["max_length"],
            pairs=self.pairs,
            whole_words=facts["masking"] == "words",
            short=facts["short"],
            documents=documents,
            seed=facts["seed"],
        )

    def frequencies(self) -> dict[str, np.ndarray]:
        """Returns, for the corpora of each name, the share of each piece, see `trainer.corpora.shards.shares`."""
        counts: dict[str, np.ndarray] = {}
        for name, _, corpus in self.sources:
            counts[name] = counts.get(name, 0) + corpus.frequencies(len(self.vocabulary))
        return {name: shares(count) for name, count in counts.items()}

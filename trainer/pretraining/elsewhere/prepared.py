"""Folders that hold all that a model is pretrained from: settings, vocabulary, corpora. No framework is needed to read one.

config.json  vocab.txt  tokenizer_config.json    of the model
prepared.json                                    the corpora, and how their text is masked and divided
corpora/0/ ...                                   see `trainer.corpora.shards`
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trainer.corpora.shards import Corpus, shares
from trainer.errors import Mistake
from trainer.pretraining.elsewhere.mixture import Mixture, Part
from trainer.pretraining.masking import Masking
from trainer.pretraining.passages import Passages, divided
from trainer.runs import PRETRAINING
from trainer.text.vocabulary import MASK, read_vocabulary
from trainer.weights import pretrained
from trainer.weights.bert import ARGUMENTS, check_config

FACTS = "prepared.json"
# What `prepared.json` says beside the corpora: options of `pretrain`, by which their text is read
READING = (
    *(
        "model",
        "objectives",
        "masking",
        "segment",
        "max_length",
        "max_predictions",
        "masked_share",
        "short",
        "held_out",
        "seed",
    ),
)


class Source(NamedTuple):
    """A corpus of the folder."""

    name: str  # of its kind: corpora of one name are scored together
    times: int  # how often a pass reads it
    corpus: Corpus


@dataclass(frozen=True)
class Prepared:
    """What such a folder holds.

    Args:
        settings: The content of its `config.json`.
        files: {name: content} of its other small files.
        reading: The options of `READING`.
        vocabulary: Its pieces.
        sources: Its corpora.
    """

    settings: dict[str, Any]
    files: dict[str, str]
    reading: dict[str, Any]
    vocabulary: list[str]
    sources: list[Source]

    @classmethod
    def of(cls, folder: Path) -> "Prepared":
        """Reads one.

        Raises:
            Mistake: It is none.
        """
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            settings, path = pretrained.read_config(folder)
            check_config(settings, path)
            sources = [
                Source(facts["names"][i], facts["times"][i], Corpus(folder / "corpora" / str(i)))
                for i in range(len(facts["names"]))
            ]
            files = {name: (folder / name).read_text("utf-8") for name in ("vocab.txt", "tokenizer_config.json")}
            vocabulary = read_vocabulary(folder / "vocab.txt")
            return cls(settings, files, {name: facts[name] for name in READING}, vocabulary, sources)
        except (OSError, ValueError, KeyError) as error:
            raise Mistake(
                f"{folder}: expected what `trainer.pretraining.elsewhere.prepare` writes, found {error}"
            ) from None

    def arguments(self, dropout: float) -> dict[str, Any]:
        """Returns the arguments of `models.bert.bert`."""
        given = {name: self.settings[theirs] for theirs, name in ARGUMENTS.items()}
        return given | {"vocabulary_size": len(self.vocabulary), "dropout": dropout, "attention_dropout": dropout}

    def settings_of_run(self) -> dict[str, Any]:
        """Returns the `config.json` of a run; `trainer.runs.folder.Folder.start` adds its options."""
        names = [Path(path).name for source in self.sources for path in source.corpus.index["files"]]
        kind = "ForPreTraining" if self.pairs else "ForMaskedLM"
        lineage = {
            "task": PRETRAINING,
            "max_length": self.reading["max_length"],
            "names": {"text": names, "init": None},
        }
        return self.settings | {"architectures": [f"Bert{kind}"], "lineage": lineage}

    @property
    def pairs(self) -> bool:
        return "nsp" in self.reading["objectives"]

    def divided(self, source: Source) -> tuple[np.ndarray, np.ndarray]:
        """Returns the documents of a corpus: (those that are scored, those that are trained on)."""
        return divided(source.corpus.documents, self.reading["held_out"], least=1 + self.pairs)

    def mixtures(self) -> tuple[Mixture, Mixture]:
        """Returns what is trained on, and what is scored."""
        parts: tuple[list[Part], list[Part]] = ([], [])
        for name, times, corpus in self.sources:
            held_out, trained = self.divided(Source(name, times, corpus))
            parts[0].append(Part(name, self._passages(corpus, trained), times))
            parts[1].append(Part(name, self._passages(corpus, held_out)))
        how = {"max_length": self.reading["max_length"], "most": self.reading["max_predictions"]}
        train, dev = (Mixture(of, seed=self.reading["seed"], **how) for of in parts)
        return train, dev

    def _passages(self, corpus, documents):
        reading = self.reading
        mask = self.vocabulary.index(MASK)
        return Passages(
            corpus,
            self.vocabulary,
            Masking(mask, len(self.vocabulary), reading["masked_share"], reading["max_predictions"]),
            max_length=reading["max_length"],
            pairs=self.pairs,
            whole_words=reading["masking"] == "words",
            short=reading["short"],
            documents=documents,
            seed=reading["seed"],
        )

    def frequencies(self) -> dict[str, np.ndarray]:
        """Returns, for the corpora of each name, the share of each piece, see `trainer.corpora.shards.shares`."""
        counts: dict[str, np.ndarray] = {}
        for name, _, corpus in self.sources:
            counts[name] = counts.get(name, 0) + corpus.frequencies(len(self.vocabulary))
        return {name: shares(count) for name, count in counts.items()}

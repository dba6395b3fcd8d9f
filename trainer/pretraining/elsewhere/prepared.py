"""Folders that hold all that a model is pretrained from: settings, vocabulary, corpora. No framework is needed to read one.

config.json  vocab.txt  tokenizer_config.json    of the model
prepared.json                                    the method, the corpora, and how their text is read and divided
corpora/0/ ...                                   see `trainer.corpora.shards`
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from trainer.corpora.shards import Corpus
from trainer.errors import Mistake
from trainer.runs import PRETRAINING
from trainer.text.vocabulary import read_vocabulary
from trainer.weights import pretrained

FACTS = "prepared.json"
EXPECTED = "expected what `trainer.pretraining.elsewhere.prepare` writes"
B = TypeVar("B")
AnyBatch = TypeVar("AnyBatch", covariant=True)


class Source(NamedTuple):
    """A corpus of the folder."""

    name: str  # of its kind: corpora of one name are scored together
    times: int  # how often a pass reads it
    corpus: Corpus


class Batches(Protocol[AnyBatch]):
    """What a model is trained on."""

    @property
    def of_pass(self) -> float:
        """Batches of a pass over the text."""

    def batch(self, number: int) -> AnyBatch:
        """Returns a batch by its number, counted over all passes."""


@dataclass(frozen=True)
class Prepared(Generic[B]):
    """What such a folder holds. A subclass says how the corpora of its methods are read.

    Args:
        settings: The content of its `config.json`.
        files: {name: content} of its other small files.
        facts: The content of its `prepared.json`: the method, what the corpora are, options of `pretrain` by which they are read.
        vocabulary: Its units.
        sources: Its corpora.
    """

    READING: ClassVar[tuple[str, ...]]
    """Options of `pretrain` by which text is read."""

    settings: dict[str, Any]
    files: dict[str, str]
    facts: dict[str, Any]
    vocabulary: list[str]
    sources: list[Source]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Reads one.

        Raises:
            Mistake: It is none.
        """
        try:
            facts = facts_of(folder)
            settings, path = pretrained.read_config(folder)
            names, times = facts["names"], facts["times"]
            sources = [Source(names[i], times[i], Corpus(folder / "corpora" / str(i))) for i in range(len(names))]
            files = {name: (folder / name).read_text("utf-8") for name in ("vocab.txt", "tokenizer_config.json")}
            found = cls(settings, files, facts, read_vocabulary(folder / "vocab.txt"), sources)
            found.check(path)
            missing = [name for name in cls.READING if name not in facts]
            if missing:
                raise ValueError(f"{FACTS} without {', '.join(missing)}")
        except (OSError, ValueError, KeyError) as error:
            raise Mistake(f"{folder}: {EXPECTED}, found {error}") from None
        return found

    def check(self, path: Path) -> None:
        """Refuses settings that no model of the method has; `path`: their file.

        Raises:
            ValueError, KeyError: Which, and why.
        """

    @property
    def method(self) -> str:
        return self.facts.get("method", "bert")  # folders from before there were others do not say

    @property
    def reading(self) -> dict[str, Any]:
        return {name: self.facts[name] for name in self.READING}

    def settings_of_run(self) -> dict[str, Any]:
        """Returns the `config.json` of a run; `trainer.runs.folder.Folder.start` adds its options."""
        names = [Path(path).name for source in self.sources for path in source.corpus.index["files"]]
        lineage = {
            "task": PRETRAINING,
            "max_length": self.facts["max_length"],
            "names": {"text": names, "init": None},
        }
        return self.settings | {"lineage": lineage}

    def batches(self, size: int) -> Batches[B]:
        """Returns what is trained on, so many rows at once."""
        raise NotImplementedError

    def held_out(self, size: int) -> dict[str, list[B]]:
        """Returns what is scored: batches, of so many rows, by the name of what they are scored as."""
        raise NotImplementedError

    def objective(self, held_out: dict[str, list[B]]) -> Any:
        """Returns what is learned, a `trainer.pretraining.elsewhere.steps.Objective`; imports a framework.

        Args:
            held_out: What is scored.
        """
        raise NotImplementedError

    def summary(self) -> dict[str, Any]:
        """Returns how much there is, by name."""
        raise NotImplementedError


def facts_of(folder: Path) -> dict[str, Any]:
    """Returns the content of a folder's `prepared.json`.

    Raises:
        OSError, ValueError: It cannot be read.
    """
    return json.loads((folder / FACTS).read_text(encoding="utf-8"))


def nats(shares: np.ndarray, units: np.ndarray) -> float:
    """Returns the sum of the losses of units by how often they are: what is known without a look at the text."""
    return float(-np.sum(np.log(shares[units])))

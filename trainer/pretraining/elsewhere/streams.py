"""What language models are pretrained from elsewhere: a text as a stream of units, read in windows. Imports no framework.

Glossary of shapes: K directions, B batch, S length of a window, V vocabulary, L letters.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from trainer.corpora.shards import shares
from trainer.pretraining.elsewhere.prepared import Prepared
from trainer.pretraining.masking import NOTHING
from trainer.pretraining.windows import Stream, Windows, streams_of
from trainer.text.vocabulary import letters_of_entries

TEXT = "text"  # the name of what is scored


class Batch(NamedTuple):
    """Windows; those that only fill the batch have no targets."""

    ids: np.ndarray  # int32 [K, B, S]: what is read
    targets: np.ndarray  # int32 [K, B, S]: what follows
    begins: np.ndarray  # bool []: a pass begins

    @property
    def rows(self) -> int:
        """B."""
        return self.ids.shape[1]


class Windowed:
    """Batches of windows."""

    def __init__(self, windows: Windows) -> None:
        self.windows, self.of_pass = windows, float(windows.steps)
        self._plan = lru_cache(2)(lambda epoch: windows.plan(windows.rows, seed=windows.seed, epoch=epoch))

    def batch(self, number: int) -> Batch:
        epoch, place = divmod(number, self.windows.steps)
        return filled(self.windows, self._plan(epoch)[place], epoch)


def filled(windows: Windows, rows: np.ndarray, epoch: int = 0) -> Batch:
    """Returns windows as a batch, which always has as many rows."""
    ids, targets = windows.arrays(rows, epoch)
    more = [(0, 0), (0, windows.rows - len(rows)), (0, 0)]
    ids, targets = np.pad(ids, more, constant_values=windows.padding), np.pad(targets, more, constant_values=NOTHING)
    return Batch(ids, targets, np.array(rows[0] == 0))


class Streams(Prepared[Batch]):
    """A folder for a language model, or ELMo: one corpus, the end of which is scored; or two, of which the second one is."""

    READING = (
        *("model", "settings", "unit", "cased", "segment", "vocabulary_size", "vocabulary_min_count", "max_length"),
        *("held_out", "dev_limit", "seed"),
    )

    def batches(self, size: int) -> Windowed:
        return Windowed(self.windows(size)[0])

    def held_out(self, size: int) -> dict[str, list[Batch]]:
        windows = self.windows(size)[1]
        if not len(windows.stream):
            return {}
        return {TEXT: [filled(windows, rows) for rows in windows.scored(self.facts["dev_limit"])]}

    def objective(self, held_out: dict[str, list[Batch]]) -> Any:
        from trainer.pretraining.elsewhere.next_units import NextUnits

        return NextUnits(self, held_out)

    def summary(self) -> dict[str, Any]:
        train, dev = self.streams()
        return {"units": self.facts["units"], "train": len(train), "held_out": len(dev), "vocabulary": self.entries}

    def streams(self) -> tuple[Stream, Stream]:
        """Returns what is trained on, and what is scored."""
        return streams_of([source.corpus for source in self.sources], self.facts["held_out"])

    def windows(self, size: int) -> tuple[Windows, Windows]:
        """Returns the windows of what is trained on, and of what is scored, so many rows at once."""
        train, dev = self.streams()
        how = {"carried": self.facts["carried"], "directions": self.facts["directions"]}
        of = lambda stream, **more: Windows.of(stream, self.vocabulary, self.facts, size, **how, **more)
        return of(train, shifted=True), of(dev)

    @property
    def entries(self) -> int:
        """V."""
        return self.settings.get("vocabulary_size") or self.settings["vocab_size"]

    def frequencies(self) -> np.ndarray:
        """Returns the share of each unit of the text that is learned, float [V]."""
        return shares(self.sources[0].corpus.frequencies(self.entries))

    def letters(self) -> np.ndarray | None:
        """Returns the letters of the units, int32 [V, L]; None where they are not read."""
        count = self.settings.get("letters")
        return letters_of_entries(self.vocabulary, count, self.entries) if count else None

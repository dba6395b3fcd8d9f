"""What vectors of words know: how alike words are, as people find it, and analogies.

    pairs       two words and a number a line, tabs or spaces between (WordSim-353, SimLex-999, wordsim-240)
    analogies   four words a line, `: section` before each section (Google's questions-words, CA8)

References: Finkelstein et al. 2002; Hill et al. 2015; Mikolov et al. 2013 (arXiv 1301.3781), whose 3CosAdd leaves the words of the
question out.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from trainer import metrics
from trainer.data.plain_text import PlainText
from trainer.errors import Mistake

CHUNK = 512  # questions
PAIR, ANALOGY = 3, 4  # fields of a line
KINDS = {PAIR: "two words and a number", ANALOGY: "four words"}


class Vectors:
    """Vectors of words, compared by their cosine.

    Args:
        words: In the order of the vectors.
        vectors: float [V, D].
        special: How many of the first are no words.
    """

    def __init__(self, words: list[str], vectors: np.ndarray, special: int = 0) -> None:
        self.words, self.vectors, self.special = words, vectors, special
        self.ids = {word: i for i, word in enumerate(words) if i >= special}
        self.unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def neighbours(self, word: str, number: int = 10) -> list[tuple[str, float]]:
        """Returns the words that are most like one, and how alike.

        Raises:
            KeyError: It is not there.
        """
        alike = self.unit @ self.unit[self.ids[word]]
        alike[: self.special] = alike[self.ids[word]] = -2.0
        return [(self.words[i], round(float(alike[i]), 4)) for i in np.argsort(-alike)[:number]]

    def score(self, path: str | Path) -> dict[str, Any]:
        """Returns the scores on a file of pairs or of analogies.

        Raises:
            Mistake: It cannot be read, or a line is neither, or another than those before.
        """
        width, rows = _read(path)
        return self._pairs(rows) if width == PAIR else self._analogies(rows)

    def _pairs(self, lines):
        rows = [(first.lower(), second.lower(), float(number)) for first, second, number in lines]
        known = [(self.ids[a], self.ids[b], number) for a, b, number in rows if a in self.ids and b in self.ids]
        alike = [float(self.unit[a] @ self.unit[b]) for a, b, _ in known]
        correlation = metrics.spearman([number for *_, number in known], alike) if len(known) > 1 else 0.0
        return {"spearman": round(correlation, 6), "pairs": len(rows), "covered": len(known)}

    def _analogies(self, lines):
        section = "all"
        sections: dict[str, list[list[int]]] = {}
        for line in lines:
            if line[0] == ":":
                section = " ".join(line[1:])
            else:
                sections.setdefault(section, []).append([self.ids.get(word.lower(), -1) for word in line])
        right: dict[str, tuple[int, int, int]] = {}
        for name, questions in sections.items():
            known = np.array([question for question in questions if min(question) >= 0], np.int64).reshape(-1, 4)
            right[name] = (
                sum(map(self._right, np.array_split(known, -(-len(known) // CHUNK) or 1))),
                len(known),
                len(questions),
            )
        found, covered, asked = map(sum, zip(*right.values(), strict=True))
        by_section = {name: round(hits / max(known, 1), 6) for name, (hits, known, _) in right.items()}
        return {
            "accuracy": round(found / max(covered, 1), 6),
            "questions": asked,
            "covered": covered,
            "sections": by_section,
        }

    def _right(self, questions):
        """Returns how many analogies [N, 4] are found."""
        if not len(questions):
            return 0
        a, b, c, d = questions.T
        alike = (self.unit[b] - self.unit[a] + self.unit[c]) @ self.unit.T  # [N, V]
        alike[:, : self.special] = -4.0
        for word in (a, b, c):
            alike[np.arange(len(word)), word] = -4.0
        return int(np.sum(np.argmax(alike, axis=1) == d))


def _read(path):
    """Returns (`PAIR` or `ANALOGY`, the fields of each line, of analogies with the lines that begin sections)."""
    rows = [(number, line.split()) for number, line in enumerate(PlainText([str(path)], "--data").lines(), 1)]
    rows = [(number, row) for number, row in rows if row]
    width = next((len(row) for _, row in rows if row[0] != ":"), 0)
    expected = KINDS.get(width, " or ".join(KINDS.values()))
    if not width:
        raise Mistake(f"{path}: expected lines of {expected}, found none")
    for number, row in rows:
        if row[0] == ":" and width == ANALOGY:
            continue
        if len(row) != width or width not in KINDS:
            raise Mistake(f"{path}:{number}: expected {expected}, found {len(row)} fields")
        if width == PAIR and not _is_number(row[-1]):
            raise Mistake(f"{path}:{number}: expected {expected}, found {row[-1]!r} for the number")
    return width, [row for _, row in rows]


def _is_number(field):
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False

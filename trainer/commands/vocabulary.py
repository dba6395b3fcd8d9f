"""`python -m trainer vocabulary --text F... --out vocab.txt`: what a model reads, of any text, before there is a model."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

import os
import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

from trainer.data.plain_text import PlainText
from trainer.errors import Mistake
from trainer.options import Vocabulary
from trainer.progress import say
from trainer.text import counted
from trainer.text.segmenter import agreement, segmenter
from trainer.text.units import UNITS
from trainer.text.vocabulary import SPECIAL
from trainer.writing import opened, print_json

SAMPLE = 5000  # lines on which the segmenter and longest match are compared


def run(options: Vocabulary) -> None:
    text = PlainText(options.text or [])
    inputs = {f"--text ({number})": path for number, path in enumerate(text.paths, 1)}
    if os.path.isfile(options.out) and not options.overwrite:
        raise Mistake(f"--out {options.out}: exists; --overwrite replaces it")
    with opened(options.out, inputs, "--out") as file:
        entries, result = make(options, text)
        file.write("".join(f"{entry}\n" for entry in entries))
    print_json({"vocabulary": options.out} | result)


def make(options: Vocabulary, text: PlainText) -> tuple[list[str], dict[str, Any]]:
    """Returns (the vocabulary, what it was made of and how much of it is unknown to it).

    Raises:
        Mistake: See `PlainText`; no segmenter; no entry is frequent enough.
    """
    begun = time.monotonic()
    minimum = options.min_count or counted.MINIMA[options.unit]
    segment = segmenter() if options.segment else None
    say(
        f"text      {text.paths[0] if len(text.paths) == 1 else f'{len(text.paths):,} files'}, {text.size / 1e6:.1f} MB"
    )
    sample = Sample(text, SAMPLE)
    lower_case = not UNITS[options.unit].writes
    counts = counted.count_lines(sample, lower_case=lower_case, segment=segment)
    words = counted.number_of_words(counts)
    say(f"words     {sample.seen:,} lines, {words:,} words, {len(counts):,} different; {_clock(begun)}")
    entries = counted.of_counts(
        options.unit,
        counts,
        options.size or counted.SIZES[options.unit],
        fallback=options.unknown,
        minimum=minimum,
        of_characters=options.character_min_count,
    )
    if len(entries) == len(SPECIAL):
        raise Mistake(f"--min_count {minimum}: expected {options.unit} that stand in the text so often, found none")
    tokenizer = UNITS[options.unit](entries, lower_case=lower_case)
    # Where words are found by longest match, the text has to be read once more; elsewhere each stands for itself.
    tokens, unknown = counted.unknown_share(tokenizer, ((line, 1) for line in text) if segment else counts.items())
    often = f", of what stands there {minimum} times or more" if minimum > 1 else ""
    say(
        f"made      {len(entries):,} {options.unit}{often}; of {tokens:,} {options.unit} "
        f"of the text {unknown:.2%} are unknown; {_clock(begun)}"
    )
    result: dict[str, Any] = {
        "unit": options.unit,
        "files": len(text.paths),
        "lines": sample.seen,
        "words": words,
        "different": len(counts),
        "min_count": minimum,
        "entries": len(entries),
        "tokens": tokens,
        "unknown": round(unknown, 6),
    }
    if segment:
        found = result["agreement"] = agreement(tokenizer, sample.lines, segment)
        say(
            f"agreement longest match finds {found['recall']:.1%} of {found['words']:,} Chinese words of the segmenter, "
            f"{found['precision']:.1%} of what it finds are such (F1 {found['f1']:.3f}), and {found['boundaries']:.1%} of its "
            f"boundaries; {found['lines']:,} lines"
        )
    return entries, result | {"seconds": round(time.monotonic() - begun, 1)}


class Sample:
    """Lines that are passed on, of which so many are kept, each with the same chance; the same lines give the same sample."""

    def __init__(self, source: Iterable[str], size: int) -> None:
        self._source, self._size, self._random = source, size, random.Random(0)
        self.lines: list[str] = []
        self.seen = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._source:
            self.seen += 1
            if len(self.lines) < self._size:
                self.lines.append(line)
            elif (place := self._random.randrange(self.seen)) < self._size:
                self.lines[place] = line
            yield line


def _clock(begun):
    return f"{time.monotonic() - begun:.1f} s"

"""Where a model that writes looked in the source, as numbers and as a picture.

Glossary of shapes: B batch, S places of the source, T target length.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from trainer import pictures
from trainer.data.schema import Row
from trainer.errors import Mistake
from trainer.progress import say
from trainer.tasks.setup import Setup
from trainer.tasks.write.answer import Writer

MOST = 8  # texts of a picture
CELL = 0.26  # inches
LETTER = 0.085  # inches, of a label
BELOW, RIGHT = 0.45, 1.1  # inches, below each heat map, and of the scale on the right
TALLEST = 30_000  # pixels, of which matplotlib can draw twice as many


class Alignment(NamedTuple):
    """Where a model looked when it wrote a text."""

    source: list[str]  # units [S], the mark before them is the first
    target: list[str]  # units [T], the mark of the end is the last
    weights: np.ndarray  # [T, S], of the attention; each row sums to 1


def draw(model: keras.Model, setup: Setup, rows: Sequence[Row]) -> bytes:
    """Returns a picture, PNG: the alignment of each row and its best translation, one below the other.

    Raises:
        Mistake: The model does not look back; there are more than `MOST` rows, or none.
    """
    writer = Writer(model, setup)
    if not writer.aligns:
        raise Mistake("--plot: expected a run whose model looks back at the source, received one of a fixed context")
    if not 1 <= len(rows) <= MOST:
        raise Mistake(f"--plot: expected 1 to {MOST} texts, received {len(rows)}")
    return picture(alignments(writer, [row[setup.fields[0]] for row in rows]))


def alignments(writer: Writer, sources: Sequence[str]) -> list[Alignment]:
    """Returns the alignments of sources and what is written for them, which is read again, all of its units at once."""
    reader = writer.reader
    ids = reader.tokenizer(tf.constant(sources)).ids
    written = tf.function(writer, autograph=False)(ids, writer.beams)
    best = tf.RaggedTensor.from_tensor(written.ids[:, 0], lengths=written.lengths[:, 0])
    inputs = reader.frame(ids)
    behind, targets = reader.frame_target(best)
    read = writer.encoder(inputs, training=False)
    given = {"token_ids": behind["target_token_ids"], **read["memory"], **read["states"]}
    weights = writer.decoder(given, training=False)["alignments"].numpy()  # [B, T, S]
    vocabulary = reader.tokenizer.vocabulary
    spelled = lambda row, is_there: [vocabulary[unit] for unit in row[is_there]]
    return [
        Alignment(spelled(source, mask), spelled(target, target >= 0), row[: (target >= 0).sum(), : mask.sum()])
        for source, mask, target, row in zip(
            inputs["token_ids"].numpy(), inputs["mask"].numpy(), targets.numpy(), weights, strict=True
        )
    ]


def picture(found: Sequence[Alignment]) -> bytes:
    """Returns alignments as heat maps, PNG: source units from left to right, target units from top to bottom, the darker the more.

    Units with a character that no font here has are numbered, and the numbers are said.
    """
    families, missing = pictures.fonts_for(unit for one in found for unit in (*one.source, *one.target))
    if missing:
        say(
            f"note      no font here has {' '.join(sorted(missing)[:20])}, so units with such are numbered (install one that "
            "has, such as Noto Sans CJK)"
        )
    names = [
        [_legible(one.source, missing, f"source {i}"), _legible(one.target, missing, f"target {i}")]
        for i, one in enumerate(found, 1)
    ]
    wide = [CELL * len(one.source) for one in found]  # all in inches
    left = 0.5 + LETTER * max(_longest(target) for _, target in names)
    above = [0.15 + LETTER * _longest(source) for source, _ in names]
    heights = [room + CELL * len(one.target) + BELOW for room, one in zip(above, found, strict=True)]
    width, height = left + max(*wide, 1.2) + RIGHT, max(sum(heights), 3.0)
    made = pictures.figure(width, height, dpi=min(150, TALLEST / max(width, height)), layout=None)
    part = lambda x, y, wide, high: made.add_axes((x / width, y / height, wide / width, high / height))
    image, top = None, height
    for one, labels, across, all_of_it in zip(found, names, wide, heights, strict=True):
        top -= all_of_it
        axes = part(left, top + BELOW, across, CELL * len(one.target))
        image = _panel(axes, one.weights, labels[0], labels[1], families)
    bar = min(4.0, height - 1)
    made.colorbar(image, cax=part(width - RIGHT + 0.3, height - 0.5 - bar, 0.18, bar), label="weight of the attention")
    return pictures.png(made)


def _panel(axes, weights, source, target, families):
    """Draws one heat map [T, S]; returns its image."""
    font: dict[str, Any] = {"family": families, "size": 9}
    axes.set_xticks(range(len(source)), source, rotation=60, ha="left", rotation_mode="anchor", **font)
    axes.set_yticks(range(len(target)), target, **font)
    axes.set_xticks(np.arange(len(source) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(target) + 1) - 0.5, minor=True)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("bottom")
    axes.set(xlabel="source", ylabel="written")
    axes.tick_params(which="both", length=0)
    axes.grid(which="minor", color="#dddddd", linewidth=0.5)
    return axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="auto")


def _longest(labels):
    return max(map(len, labels))


def _legible(units, missing, name):
    """Returns labels: units, or their numbers where a character of them cannot be drawn."""
    numbered = [place for place, unit in enumerate(units) if missing.intersection(unit)]
    if numbered:
        say(f"{name:<10}{' '.join(f'{place}={units[place]}' for place in numbered)}")
    return [f"{place}" if place in numbered else unit for place, unit in enumerate(units)]

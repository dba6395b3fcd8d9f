"""Tagged sentences as examples to learn from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer.data import conll
from trainer.data.schema import Row
from trainer.tasks.setup import Setup
from trainer.tasks.tag import segmentation, units
from trainer.text.reader import Reader
from trainer.training import batches

POOL = 4  # batches; more would make batches of rows more alike in kind, which costs accuracy

Labelled = tuple[np.ndarray, np.ndarray]  # pieces, and the number of the label of each, -1 where none is asked for
Form = list[Labelled]  # of a sentence: its text, and its words where they give other pieces


def examples(rows: list[Row], setup: Setup, path: str | Path | None = None) -> tuple[Setup, batches.Examples]:
    """See `trainer.tasks.kind.Kind`.

    A sentence is learned from its text and, where that gives other pieces, from its words too, in each epoch. A Chinese sentence
    with ASCII punctuation has another form, with the full-width marks that people type, see `batches.Examples`.
    Labels of the data: the plain tags, then the other labels of tokens that stand twice or more in the rows.
    """
    reader, labels = setup.reader, setup.labels
    variants = [[row, *filter(None, [conll.full_width(row)])] for row in rows]
    flat = [row for variant in variants for row in variant]
    tokens = zip(flat, units.tokens(reader, [row["text"] for row in flat]), strict=True)
    labelled = (
        (ids, firsts, segmentation.labels_of_tokens(starts, ends, row)) for row, (ids, firsts, starts, ends) in tokens
    )
    texts = [[next(labelled) for _ in variant] for variant in variants]
    if not labels:
        as_written = [label for (_, _, labels_of_row), *_ in texts for label in labels_of_row]
        labels = segmentation.inventory(as_written, {tag for row in rows for tag in row["tags"]}, path)
    number = {label: i for i, label in enumerate(labels)}
    words = units.words(reader, [row["words"] for row in flat])
    forms: list[list[Form]] = []
    for variant, labelled_texts in zip(variants, texts, strict=True):
        forms.append([])
        for row, (ids, firsts, labels_of_row) in zip(variant, labelled_texts, strict=True):
            of_text = [number[segmentation.known(label, number)] for label in labels_of_row]
            form = [(ids, _targets(len(ids), firsts, of_text))]
            ids_of_words, firsts, begins = next(words)
            if not np.array_equal(ids_of_words, ids):
                of_words = np.full(len(begins), number[segmentation.INSIDE])
                of_words[begins] = [number[tag] for tag in row["tags"]]
                form.append((ids_of_words, _targets(len(ids_of_words), firsts, of_words)))
            forms[-1].append(form)
    scheme = segmentation.scheme_of(row["tags"] for row in rows) if setup.decoder else None
    return replace(setup, labels=labels, scheme=scheme), _in_windows(forms, reader)


def _targets(length, places, numbers):
    targets = np.full(length, -1, np.int32)
    targets[places] = numbers
    return targets


def _in_windows(forms: list[list[Form]], reader: Reader) -> batches.Examples:
    """Returns the windows of all forms; forms of a row that need more or fewer windows than its first are left out."""
    flat = [labelled for forms_of_row in forms for form in forms_of_row for labelled in form]
    windows = units.cut(reader, tf.constant([len(ids) for ids, _ in flat], tf.int64))
    rows, starts, ends, kept_from, kept_to = (field.numpy() for field in windows)
    pieces, targets = (np.concatenate(column) for column in zip(*flat, strict=True))
    place = np.arange(len(pieces))
    spans = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    kept = [(place[s] >= a) & (place[s] < b) for s, a, b in zip(spans, kept_from, kept_to, strict=True)]
    ragged = lambda values: tf.RaggedTensor.from_row_lengths(np.concatenate(values), ends - starts)
    windows_of = iter(np.split(np.arange(len(rows)), np.searchsorted(rows, np.arange(1, len(flat)))))
    chosen = []
    for forms_of_row in forms:
        windows_of_row = [np.concatenate([next(windows_of) for _ in form]) for form in forms_of_row]
        chosen.append([form for form in windows_of_row if len(form) == len(windows_of_row[0])])
    return batches.Examples(
        reader,
        ragged([pieces[s] for s in spans]),
        ragged([np.where(keep, targets[s], -1) for s, keep in zip(spans, kept, strict=True)]),
        forms=chosen,
        pool=POOL,
    )

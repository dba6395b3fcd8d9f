"""Questions with their contexts, in windows, as examples to learn from."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer.data.schema import Row
from trainer.errors import Mistake
from trainer.progress import say
from trainer.tasks.setup import Setup
from trainer.text import windows
from trainer.training import batches


@dataclass(frozen=True)
class Question:
    """A question beside the context that answers it.

    Args:
        ids: Pieces of the question, cut to `question_room`.
        context: Pieces of the whole context.
        first, last: Pieces of the context that the answer begins and ends with; -1 where it has none.
        cut: Whether the question was longer.
    """

    ids: np.ndarray
    context: np.ndarray
    first: int
    last: int
    cut: bool


def question_room(setup: Setup) -> int:
    """Returns how many pieces of a question are read: half of what there is room for."""
    return setup.reader.room(2) // 2


def cut(setup: Setup, questions: tf.Tensor, contexts: tf.Tensor) -> windows.Windows:
    """Returns the windows of contexts of so many pieces [B], beside questions of so many [B]."""
    room = setup.reader.room(2) - questions
    return windows.windows(contexts, room, tf.minimum(tf.cast(setup.doc_stride, room.dtype), room))


def examples(rows: list[Row], setup: Setup, path: str | Path | None = None) -> tuple[Setup, batches.Examples]:
    """See `trainer.tasks.kind.Kind`: every window of every question.

    Answers that do not stand in their context where the file says are left out, and so are those without a word.
    `null_threshold`: 0.5, if some rows have no answer.
    """
    questions = _questions(rows, setup, path)
    sizes = [[len(question.ids) for question in questions], [len(question.context) for question in questions]]
    cuts = cut(setup, *[tf.constant(lengths, tf.int64) for lengths in sizes])
    before = np.cumsum([0, *sizes[1]])  # pieces of all contexts before this one
    firsts, seconds, targets = [], [], []
    for row, start, end in zip(*[field.numpy() for field in cuts[:3]], strict=True):
        question = questions[row]
        start, end = start - before[row], end - before[row]
        place = setup.reader.place_of_second(len(question.ids)) - start  # of the context's first piece
        inside = start <= question.first and question.last < end
        firsts.append(question.ids)
        seconds.append(question.context[start:end])
        targets.append([question.first + place, question.last + place] if inside else [0, 0])
    unanswerable = sum(not row["answers"] for row in rows)
    ragged = lambda values: tf.RaggedTensor.from_row_lengths(np.concatenate(values), [len(row) for row in values])
    return replace(setup, null_threshold=0.5 if unanswerable else None), batches.Examples(
        setup.reader,
        ragged(firsts),
        tf.constant(targets, tf.int32),
        second=ragged(seconds),
        about=f"{_about(questions, unanswerable)}, in windows: ",
    )


def _questions(rows, setup, path) -> list[Question]:
    """Returns the questions of rows whose answers stand where they say, and says how many others there are.

    Raises:
        Mistake: There are none.
    """
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    pieces = dict(zip(contexts, setup.reader.pieces(contexts), strict=True))
    asked = setup.reader.pieces([row["question"] for row in rows])
    room, questions = question_room(setup), []
    reasons: Counter[str] = Counter()  # why questions are left out
    for row, (ids, *_) in zip(rows, asked, strict=True):
        context, _, starts, ends = pieces[row["context"]]
        first = last = -1
        if row["answers"]:
            start, text = row["answers"][0]["answer_start"], row["answers"][0]["text"]
            end = start + len(text)
            if not text or row["context"][start:end] != text:
                reasons["stands elsewhere, or nowhere, in the context"] += 1
                continue
            first = int(np.searchsorted(ends, start, side="right"))
            last = int(np.searchsorted(starts, end, side="left")) - 1
            if first > last:
                reasons["has no word"] += 1
                continue
        questions.append(Question(ids[:room], context, first, last, len(ids) > room))
    if not questions:
        raise Mistake(f"{path}: expected questions whose answers stand in their contexts, found none of {len(rows)}")
    for reason, number in reasons.items():
        say(f"{path}: questions left out whose answer {reason}: {number}")
    return questions


def _about(questions, unanswerable):
    about = f"{len(questions):,} questions"
    about += f", {unanswerable:,} of them without an answer" if unanswerable else ""
    cut_off = sum(question.cut for question in questions)
    return about + (f", {cut_off} of them cut" if cut_off else "")

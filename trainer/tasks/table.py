"""What each task is: the one definition that training, export and client read. Imports no framework."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.data.schema import Row
from trainer.errors import Mistake, short
from trainer.tasks.options import FILLING, SAMPLING, Option, checked
from trainer.text.vocabulary import MASK


@dataclass(frozen=True)
class Task:
    """What a task is.

    `labels` are their names in the order of their numbers; None: those that `--labels` gives, or those of the data.
    """

    inputs: tuple[tuple[str, tuple[str, ...]], ...]  # (signature, its fields) that a row may have, the fullest first
    target: str  # the gold value of a row, by name
    kind: str  # how it works, see `trainer.tasks.kinds`
    labels: tuple[str, ...] | None
    metric: str  # by which the best epoch is chosen, see `trainer.metrics`
    more: tuple[str, ...] = ()  # signatures beside those of the inputs, that take the same fields
    max_length: int = 128  # by default
    decoders: tuple[str, ...] = ()  # how answers are found in logits, where there is a choice; the default first
    options: tuple[Option, ...] = ()  # what a row may say beside its fields
    with_options: str = ""  # the signature that takes them, too
    mark: str = ""  # what a text must hold, once to `MOST_MARKS` times: it is control, and no text
    trained_by: str = "finetune"  # the command
    unlabelled: tuple[str, ...] = ()  # what stands for a label where annotators did not agree: such rows are left out

    @property
    def fields(self) -> list[str]:
        """Returns all fields, the simplest input's first."""
        return list(dict.fromkeys(field for _, fields in reversed(self.inputs) for field in fields))

    def input_of(self, row: Mapping[str, Any]) -> tuple[str, tuple[str, ...]] | None:
        """Returns the (signature, fields) that a row has; None if it has none."""
        return next(((name, fields) for name, fields in self.inputs if all(field in row for field in fields)), None)

    def fields_of(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the fields of the input that a row has; none if it has none."""
        return (self.input_of(row) or ("", ()))[1]

    def check(self, row: Mapping[str, Any], place: str = "") -> None:
        """Refuses a row that there is no answer to; `place` is where it stands, for the message.

        Raises:
            Mistake: A text without the task's mark, or with too many.
        """
        marks = row["text"].count(self.mark) if self.mark and "text" in row else 1
        if not 1 <= marks <= MOST_MARKS:
            expected = f"a text with {self.mark}" if not marks else f"{self.mark} {MOST_MARKS} times at most"
            received = f"received {marks} in" if marks else "received none in"
            raise Mistake(f"{place and f'{place}: '}expected {expected}, {received} {short(row['text'])}")


MOST_MARKS = 32  # in a text: each takes a look of the model at it
TEXT = ("serving_default", ("text",))
TASKS = {
    "sentiment": Task(
        inputs=(TEXT,), target="label", kind="classify", labels=("negative", "positive"), metric="accuracy"
    ),
    "classification": Task(
        inputs=(("serving_default", ("text", "text_b")), TEXT),
        target="label",
        kind="classify",
        labels=None,
        metric="accuracy",
    ),
    "nli": Task(
        inputs=(("serving_default", ("premise", "hypothesis")),),
        target="label",
        kind="classify",
        labels=None,
        metric="accuracy",
        unlabelled=("-", "-1"),
    ),
    "multi_label": Task(
        inputs=(("serving_default", ("text", "text_b")), TEXT),
        target="labels",
        kind="label_set",
        labels=None,
        metric="micro_f1",
    ),
    "regression": Task(
        inputs=(("serving_default", ("text", "text_b")), TEXT),
        target="score",
        kind="regress",
        labels=("score",),  # what its logit is of
        metric="pearson",
    ),
    "tagging": Task(
        inputs=(("words", ("words",)), TEXT),
        target="tags",
        kind="tag",
        labels=None,
        metric="accuracy",
        decoders=("softmax", "crf"),
    ),
    "qa": Task(
        inputs=(("serving_default", ("question", "context")),),
        target="answers",
        kind="span",
        labels=("start", "end"),  # what its two logits are of
        metric="f1",
        more=("nbest",),
        max_length=384,
    ),
    "translation": Task(
        inputs=(("serving_default", ("source",)),),
        target="target",
        kind="write",
        labels=(),  # it has none
        metric="bleu",
        more=("nbest",),
    ),
    "text_generation": Task(
        inputs=(TEXT,),
        target="continuation",
        kind="generate",
        labels=(),
        metric="loss",
        options=SAMPLING,
        with_options="sample",
        trained_by="pretrain lm",
    ),
    "fill_mask": Task(
        inputs=(TEXT,),
        target="tokens",
        kind="fill",
        labels=(),
        metric="loss",
        options=FILLING,
        with_options="top_k",
        mark=MASK,
        trained_by="pretrain bert",
    ),
}
FINETUNED = tuple(name for name, task in TASKS.items() if task.trained_by == "finetune")
# Of tasks that write, by default: hypotheses at a time, the power of their length (Wu et al. 2016, arXiv 1609.08144,
# section 7, in its simplest form), and the probability given to all units alike (Vaswani et al. 2017, section 5.4)
BEAMS, LENGTH_PENALTY, LABEL_SMOOTHING = 5, 1.0, 0.1
LISTS = ("words", "tags")  # fields with several values a row


def requests(
    task: Task, rows: Sequence[Mapping[str, Any]], size: int, signature: str | None = None
) -> Iterator[tuple[str, dict[str, np.ndarray], Sequence[Mapping[str, Any]]]]:
    """Yields (signature, inputs, rows) of at most `size` rows that follow one another and go to the same signature.

    Args:
        task: A `Task`.
        rows: Dicts with the fields of one of its inputs.
        signature: One of the task's `more`, instead of that of the input.

    Raises:
        Mistake: A row has the fields of none of the task's inputs; words are no list, or one of them is empty; an option has a
            value that it may not have; a text lacks the task's mark.

    Returns:
        `inputs` are {field: array of strings [B]}; lists of words [B, W] end in empty strings. Where a row has options, those of
        all rows are among them, numbers [B].
    """
    for row in rows:
        task.check(row)
    start = 0
    while start < len(rows):
        first = task.input_of(rows[start])
        if not first:
            expected = ", or ".join(" and ".join(fields) for _, fields in task.inputs)
            raise Mistake(f"expected a row with {expected}, received {', '.join(rows[start]) or 'nothing'}")
        end = start + 1
        while end < min(start + size, len(rows)) and task.input_of(rows[end]) == first:
            end += 1
        batch = rows[start:end]
        inputs = {field: _array([row[field] for row in batch], field in LISTS) for field in first[1]}
        options = [checked(row, task.options) for row in batch]
        if any(options):
            inputs |= {
                option.name: np.array([given.get(option.name, option.default) for given in options], option.dtype)
                for option in task.options
            }
        yield signature or (task.with_options if any(options) else first[0]), inputs, batch
        start = end


def _array(values, lists):
    if not lists:
        return np.array(values, object)
    for value in values:
        if isinstance(value, str) or not all(word.strip() for word in value):
            raise Mistake(f"expected a list of words without empty ones, received {value!r}")
    array: np.ndarray = np.full([len(values), max(map(len, values), default=0)], "", object)
    for i, value in enumerate(values):
        array[i, : len(value)] = value
    return array


def answers(task: Task, rows: Sequence[Mapping[str, Any]], outputs: dict[str, np.ndarray]) -> list[Row]:
    """Joins input rows and a model's outputs to what users read: one dict a row.

    Args:
        task: A `Task`.
        rows: Dicts with the fields of one of the task's inputs.
        outputs: What the exported model returns for them, {name: array}, strings as bytes.

    Returns:
        A list of dicts of plain Python values: the fields of the row, then its answer.
    """
    values = {name: array.tolist() for name, array in outputs.items()}
    joined = []
    for i, row in enumerate(rows):
        answer = ANSWERS[task.kind](row, {name: value[i] for name, value in values.items()})
        joined.append({field: row[field] for field in task.fields_of(row)} | answer)
    return joined


def _classify(_, output):
    labels = [label.decode("utf-8") for label in output["labels"]]
    return {
        "label": output["label"].decode("utf-8"),
        "score": round(output["score"], 6),
        "probabilities": {
            label: round(probability, 6) for label, probability in zip(labels, output["probabilities"], strict=True)
        },
    }


def _tag(row, output):
    """Words, tags and scores; of a text also where its words are. What pads the output is left out."""
    count = len(row["words"]) if "words" in row else sum(start >= 0 for start in output["starts"])
    words = row["words"] if "words" in row else [word.decode("utf-8") for word in output["words"][:count]]
    answer = {"words": words}
    answer["tags"] = [tag.decode("utf-8") for tag in output["tags"][:count]]
    answer["scores"] = [round(score, 6) for score in output["scores"][:count]]
    return answer if "words" in row else answer | {name: output[name][:count] for name in ("starts", "ends")}


def _span(_, output):
    """The answer with its place and scores; of `nbest`, lists of all, without what pads them."""
    if "answer" in output:
        scores = {name: round(output[name], 6) for name in ("score", "null_score")}
        return {"answer": output["answer"].decode("utf-8"), "start": output["start"], "end": output["end"]} | scores
    count = sum(start >= 0 for start in output["starts"])
    answer = {"answers": [text.decode("utf-8") for text in output["answers"][:count]]}
    answer |= {name: output[name][:count] for name in ("starts", "ends")}
    return answer | {"scores": [round(score, 6) for score in output["scores"][:count]]}


def _label_set(_, output):
    """The labels that were chosen, and the probability of each. What pads the output is left out."""
    names = [label.decode("utf-8") for label in output["labels"]]
    probabilities = zip(names, output["probabilities"], strict=True)
    return {
        "labels": [label.decode("utf-8") for label in output["chosen"] if label],
        "probabilities": {label: round(probability, 6) for label, probability in probabilities},
    }


def _regress(_, output):
    return {"score": round(output["score"], 6)}


def _write(_, output):
    """The text and its score, and where its words stand and those of the source that they are aligned to; of `nbest`, lists of
    all, without what pads them."""
    if "targets" in output:
        there = [score > LOWEST_SCORE for score in output["scores"]]
        answer = {
            "targets": [
                text.decode("utf-8") for text, is_there in zip(output["targets"], there, strict=True) if is_there
            ]
        }
        return answer | {"scores": [round(score, 6) for score in output["scores"] if score > LOWEST_SCORE]}
    answer = {"target": output["target"].decode("utf-8"), "score": round(output["score"], 6)}
    if "starts" not in output:
        return answer
    count = sum(start >= 0 for start in output["starts"])
    return answer | {name: output[name][:count] for name in ("starts", "ends", "source_starts", "source_ends")}


def _generate(_, output):
    return {"continuation": output["continuation"].decode("utf-8"), "score": round(output["score"], 6)}


def _fill(_, output):
    """The fillings, best first. What pads the output is left out."""
    count = sum(token != b"" for token in output["tokens"])
    answer = {name: [text.decode("utf-8") for text in output[name][:count]] for name in ("tokens", "texts")}
    scores = [float(f"{score:.6g}") for score in output["scores"][:count]]
    return {"tokens": answer["tokens"], "scores": scores, "texts": answer["texts"]}


LOWEST_SCORE = -1e8  # of a text that is there
ANSWERS = {
    "classify": _classify,
    "label_set": _label_set,
    "regress": _regress,
    "tag": _tag,
    "span": _span,
    "write": _write,
    "generate": _generate,
    "fill": _fill,
}

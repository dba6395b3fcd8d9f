"""A task as a run has set it up."""

from dataclasses import dataclass

from trainer.tasks.table import Task
from trainer.text.reader import Reader

MOST_SHOWN = 40  # labels


@dataclass(frozen=True)
class Setup:
    """A task as a run has set it up: how texts are read, how answers are named; all that its functions need beside the model.

    What only some kinds of tasks have is None for the others.
    """

    task: Task
    reader: Reader
    fields: tuple[str, ...]  # of the rows
    labels: list[str]  # in the order of their numbers; empty before training: those of the data
    doc_stride: int | None = None  # span: pieces from the start of one window of a context to that of the next
    max_answer_length: int | None = None  # span: pieces
    null_threshold: float | None = None  # span: no answer where the null score is above; None: there is always one
    threshold: float | None = None  # label_set: a label is given where its probability is above
    decoder: str | None = None  # tag: one of the task's, None: the first
    beams: int | None = None  # write: hypotheses that are kept at a time
    length_penalty: float | None = None  # write: power of their length
    scheme: str | None = None  # tag, of a decoder that knows neighbours: see `segmentation.scheme_of`

    def __str__(self) -> str:
        if self.doc_stride:
            null = self.null_threshold
            none = "" if null is None else f"; none where the null score is above {null:g}"
            return (
                f"windows of {self.reader.max_length} pieces, {self.doc_stride} from one to the next; answers of "
                f"{self.max_answer_length} pieces at most{none}"
            )
        if not self.labels:
            return f"{' and '.join(self.fields)} of {self.reader.max_length} units at most to {self.task.target}"
        rest = f", and {len(self.labels) - MOST_SHOWN} more" if len(self.labels) > MOST_SHOWN else ""
        chosen = "" if self.threshold is None else f"; each where its probability is above {self.threshold:g}"
        decoded = f"; decoded by {self.decoder}" if self.decoder else ""
        decoded += f", {self.scheme} throughout" if self.scheme else ""
        return ", ".join(f"{i} {label}" for i, label in enumerate(self.labels[:MOST_SHOWN])) + rest + chosen + decoded

"""A task as a run has set it up."""

from dataclasses import dataclass

from trainer.tasks.table import Task
from trainer.text.reader import Reader

MOST_SHOWN = 40  # labels


@dataclass(frozen=True)
class Setup:
    """A task as a run has set it up: how texts are read, how answers are named; all that its functions need beside the model.

    The last three are of extractive question answering, else None.
    """

    task: Task
    reader: Reader
    fields: tuple[str, ...]  # of the rows
    labels: list[str]  # in the order of their numbers; empty before training: those of the data
    doc_stride: int | None = None  # pieces from the start of one window of a context to that of the next
    max_answer_length: int | None = None  # pieces
    null_threshold: float | None = None  # no answer where the null score is above; None: there is always one

    def __str__(self) -> str:
        if self.doc_stride:
            threshold = self.null_threshold
            none = "" if threshold is None else f"; none where the null score is above {threshold:g}"
            return (
                f"windows of {self.reader.max_length} pieces, {self.doc_stride} from one to the next; answers of "
                f"{self.max_answer_length} pieces at most{none}"
            )
        rest = f", and {len(self.labels) - MOST_SHOWN} more" if len(self.labels) > MOST_SHOWN else ""
        return ", ".join(f"{i} {label}" for i, label in enumerate(self.labels[:MOST_SHOWN])) + rest

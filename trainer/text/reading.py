"""How a run reads its texts and names its answers."""

from dataclasses import dataclass

from trainer.text.word_pieces import Tokenizer


@dataclass(frozen=True)
class Reading:
    """How a run reads its texts and names its answers: all that its functions need beside the model.

    The last three are of extractive question answering, else None.
    """

    tokenizer: Tokenizer
    max_length: int  # pieces that the model reads at once, [CLS] and [SEP] included
    fields: tuple[str, ...]  # of the rows
    labels: list[str] | None  # in the order of their numbers; None: those of the training data
    doc_stride: int | None = None  # pieces from the start of one window of a context to that of the next
    max_answer_length: int | None = None  # pieces
    null_threshold: float | None = None  # no answer where the null score is above; None: there is always one

    def __str__(self):
        if self.doc_stride:
            none = (
                "" if self.null_threshold is None else f"; none where the null score is above {self.null_threshold:g}"
            )
            return (
                f"windows of {self.max_length} pieces, {self.doc_stride} from one to the next; answers of "
                f"{self.max_answer_length} pieces at most{none}"
            )
        more = f", and {len(self.labels) - 40} more" if len(self.labels) > 40 else ""
        return ", ".join(f"{i} {label}" for i, label in enumerate(self.labels[:40])) + more

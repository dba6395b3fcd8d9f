"""Every kind of task by name: a row each."""

from trainer.tasks import classify, label_set, regress, span, tag, write
from trainer.tasks.kind import Kind
from trainer.tasks.table import Task

KINDS: dict[str, Kind] = {
    "classify": classify.KIND,
    "label_set": label_set.KIND,
    "regress": regress.KIND,
    "tag": tag.KIND,
    "span": span.KIND,
    "write": write.KIND,
}


def kind_of(task: Task, decoder: str | None = None) -> Kind:
    """Returns the kind of a task whose answers are found by one of `Task.decoders`, by default the first."""
    kind = KINDS[task.kind]
    return kind.decoders[decoder] if decoder else kind

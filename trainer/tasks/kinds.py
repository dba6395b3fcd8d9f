"""Every kind of task by name: a row each."""

from trainer.tasks import classify, label_set, regress, span, tag
from trainer.tasks.kind import Kind

KINDS: dict[str, Kind] = {
    "classify": classify.KIND,
    "label_set": label_set.KIND,
    "regress": regress.KIND,
    "tag": tag.KIND,
    "span": span.KIND,
}

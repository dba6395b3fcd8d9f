"""Every kind of task by name: a row each."""

from trainer.tasks import classify, span, tag
from trainer.tasks.kind import Kind

KINDS: dict[str, Kind] = {"classify": classify.KIND, "tag": tag.KIND, "span": span.KIND}

"""The options that say how the answers of a run are found; they win over what the run says itself."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from trainer.errors import Mistake
from trainer.options.checks import search
from trainer.tasks.table import Task

# {name: (its type, the kind of task that has it, a task of this kind)}
ANSWERING: dict[str, tuple[type, str, str]] = {
    "null_threshold": (float, "span", "qa"),
    "beams": (int, "write", "translation"),
    "length_penalty": (float, "write", "translation"),
}


@dataclass(kw_only=True)
class Answering:
    """Answers"""

    null_threshold: float | None = None
    """Of qa: no answer where the null score is above (default: the best on the dev data of the training, if some questions there have no answer; 1 answers always)."""
    beams: int | None = None
    """Of translation: hypotheses that are kept at a time; 1 takes the best unit at each step (default: as the run was trained with)."""
    length_penalty: float | None = None
    """Of translation: the power of its length by which the logarithm of a hypothesis's probability is divided; with more, longer ones win (default: likewise)."""

    def answering(self) -> dict[str, Any]:
        """Returns {name: value} of these options, those that were given."""
        names = [option.name for option in fields(Answering)]
        return {name: value for name, value in asdict(self).items() if name in names and value is not None}

    def check_answering(self) -> None:
        """Refuses values that make no sense for any run."""
        if self.null_threshold is not None and not 0 <= self.null_threshold <= 1:
            raise Mistake(f"--null_threshold: expected a probability, 0 to 1, received {self.null_threshold:g}")
        search(self.beams, self.length_penalty)

    def check_run(self, folder: Any, task_name: str, task: Task) -> None:
        """Refuses options that are not for a run of this task."""
        for name in self.answering():
            _, kind, usual = ANSWERING[name]
            if task.kind != kind:
                raise Mistake(f"--{name}: expected for {usual}, received for {folder}, a run of {task_name}")

"""What each task is: the one definition that training, export and client read. Imports no framework."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    fields: tuple[str, ...]  # the texts of a row, by name
    target: str  # the gold value of a row, by name
    head: str  # kind of head, see `trainer.heads`
    labels: (
        tuple[str, ...] | None
    )  # their names in the order of their numbers; None: given by `--labels`, or those of the data
    metric: str  # by which the best epoch is chosen, see `trainer.metrics`


TASKS = {
    "sentiment": Task(
        fields=("text",), target="label", head="classify", labels=("negative", "positive"), metric="accuracy"
    ),
    "classification": Task(fields=("text",), target="label", head="classify", labels=None, metric="accuracy"),
}


def answers(task, rows, outputs):
    """Joins input rows and a model's outputs to what users read: one dict a row.

    Args:
        task: A `Task`.
        rows: Dicts with the task's fields.
        outputs: What the exported model returns for them, {name: array}, strings as bytes.

    Returns:
        A list of dicts of plain Python values: the fields of the row, then its answer.
    """
    outputs = {name: array.tolist() for name, array in outputs.items()}
    return [
        {field: row[field] for field in task.fields}
        | ANSWERS[task.head]({name: value[i] for name, value in outputs.items()})
        for i, row in enumerate(rows)
    ]


def _classify(output):
    labels = [label.decode("utf-8") for label in output["labels"]]
    return {
        "label": output["label"].decode("utf-8"),
        "score": round(output["score"], 6),
        "probabilities": {
            label: round(probability, 6) for label, probability in zip(labels, output["probabilities"], strict=True)
        },
    }


ANSWERS = {"classify": _classify}

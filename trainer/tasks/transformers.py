"""What transformers calls a kind of task, for runs that are given away."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Transformers:
    """Names of transformers and of the Hugging Face hub.

    Args:
        model_class: The name of a model's class behind that of its family: `ForSequenceClassification`.
        pipeline: The task, as the hub names it.
        snippet: A program that asks a model of this kind; {class_name} and {name} are filled in.
    """

    model_class: str
    pipeline: str
    snippet: str

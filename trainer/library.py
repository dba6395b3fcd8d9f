"""Lineage from Python: what `import trainer` offers; each function imports TensorFlow when it is called, not before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from trainer.text.reader import Reader


def finetune(task: str, **options: Any) -> dict[str, Any]:
    """Fine-tunes pretrained weights, or trains random ones, on a task, as `python -m trainer finetune` does.

    Args:
        task: Its name, as `sentiment`.
        **options: The flags of the command, by name, with the same defaults; see `trainer.options.Finetune`.

    Returns:
        The result that metrics.json holds.

    Raises:
        trainer.errors.Mistake, trainer.errors.Failure: Their text is one line that says what was received and expected.

    Example:
        >>> import trainer
        >>> trainer.finetune("sentiments", train="reviews.tsv", out="runs/reviews", init="minilm")
        Traceback (most recent call last):
        trainer.errors.Mistake: task: expected one of sentiment, classification, nli, multi_label, regression, tagging, qa, received sentiments
    """
    from trainer import recipes
    from trainer.options import Finetune

    if options.get("recipe"):
        recipe = recipes.named(options["recipe"])
        recipe.check(task)
        options = recipe.given_with(options)
    checked = Finetune(task=task, **options).checked()
    from trainer.commands import finetune as command

    return command.finetune(checked)


def load(folder: str | Path, **answering: Any) -> Trained:
    """Loads a trained model.

    Args:
        folder: Of a finished run.
        **answering: How answers are found, if not as the run says: null_threshold, beams, ...; see `trainer.options.Answering`.

    Returns:
        A `Trained`.
    """
    return Trained(folder, **answering)


class Trained:
    """A trained model that answers rows of text; see `load`.

    Attributes:
        model: The `keras.Model` inside, from word pieces to logits.
        labels: Their names, in the order of their numbers.
    """

    def __init__(self, folder: str | Path, **answering: Any) -> None:
        from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
        from trainer.answerers import load as load_run

        self.folder, self.answering = folder, answering
        self._run = load_run(folder, **answering)
        self.model, self.labels = self._run.model, list(self._run.labels)

    def predict(
        self, rows: list[str] | list[dict[str, Any]], *, signature: str | None = None, batch_size: int = 32
    ) -> list[dict[str, Any]]:
        """Answers rows in order.

        Args:
            rows: Texts, for a run that reads one text a row; else dicts of the task's fields, as {"premise": ..., "hypothesis": ...},
                for a language model also with how text is drawn, as {"text": ..., "temperature": 0.8, "seed": 1}.
            signature: As for `python -m trainer predict`.
            batch_size: Rows at once.

        Returns:
            A list of dicts, as `python -m trainer predict` prints them.
        """
        from trainer.commands.predict import predict

        if isinstance(rows, str | dict):
            raise TypeError(f"expected a list of rows, received one {type(rows).__name__}")
        field = next((fields[0] for fields in self._run.inputs if len(fields) == 1), "text")
        dicts = [{field: row} if isinstance(row, str) else row for row in rows]
        return list(predict(self._run, dicts, signature=signature, batch_size=batch_size))

    def evaluate(self, data: str | Path, **options: Any) -> dict[str, Any]:
        """Returns the scores on a labelled file or a data set by name; options as for `python -m trainer evaluate`."""
        from trainer.commands.evaluate import evaluate
        from trainer.options import Evaluate

        arguments = {"run": str(self.folder)} | self.answering | options
        return evaluate(Evaluate(data=str(data), **arguments).checked())


def from_preset(
    name: str,
    *,
    task: str = "sentiment",
    labels: list[str] | None = None,
    max_length: int | None = None,
    learning_rate: float = 5e-5,
    seed: int = 0,
) -> tuple[keras.Model, Reader]:
    """Returns a compiled Keras model with pretrained weights and a new head, and the reader that feeds it.

    Args:
        name: As for --init: `minilm`, a folder, OWNER/NAME of the Hugging Face hub.
        task: One whose gold value is a label: sentiment, classification, nli.
        labels: Their names, in the order of their numbers; by default the task's own.
        max_length: Pieces read at once; by default the task's.
        learning_rate: Of AdamW.
        seed: Of the new head and of dropout.

    Returns:
        (`keras.Model` from the reader's tensors to logits [B, C], `trainer.text.reader.Reader`). `model.fit(reader(texts), numbers)`
        takes the numbers of the labels [B]; `model.save(PATH.keras)` and `keras.models.load_model` work.
    """
    from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow
    import keras

    from trainer.errors import Mistake
    from trainer.runs.blueprint import Blueprint
    from trainer.tasks.kinds import kind_of
    from trainer.tasks.table import TASKS
    from trainer.weights import hub

    if task not in TASKS or TASKS[task].target != "label":
        names = [name for name in TASKS if TASKS[name].target == "label"]
        raise Mistake(f"task: expected one of {', '.join(names)}, received {task}")
    classes = list(labels or TASKS[task].labels or ())
    if len(classes) < 2:
        raise Mistake(f"labels: expected two or more names for {task}, received {', '.join(classes) or 'none'}")
    folder = hub.folder_of(name)
    blueprint = Blueprint.of_weights(folder)
    blueprint.check(task, TASKS[task])
    keras.utils.set_random_seed(seed)
    model = blueprint.model(TASKS[task], len(classes), seed=seed)
    blueprint.load(model, folder, ignore=kind_of(TASKS[task]).layers)
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=0.01, epsilon=1e-6, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,  # packed shapes differ from batch to batch
    )
    return model, blueprint.reader(max_length or TASKS[task].max_length)

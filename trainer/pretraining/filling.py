"""Weights that know which words were masked, from their folder: a finished run, or pretrained ones."""

from pathlib import Path
from typing import Any

from trainer.errors import Mistake
from trainer.generation import masks
from trainer.pretraining.run import HEAD, Pretrained, model_of
from trainer.runs.blueprint import Blueprint
from trainer.runs.folder import method_of
from trainer.tasks.table import TASKS
from trainer.text.vocabulary import MASK
from trainer.weights import pretrained


class MaskedWords:
    """A BERT with its head of masked words, which fills `[MASK]` in.

    Args:
        folder: A finished run of `pretrain bert`, or weights of Hugging Face's form or of Google's.

    Raises:
        Mistake: It is neither; the weights are of another model, or have no such head.
    """

    task_name = "fill_mask"
    task = TASKS[task_name]

    def __init__(self, folder: Path) -> None:
        if method_of(folder) and not (folder / "metrics.json").is_file():
            raise Mistake(f"{folder}: expected a finished run of {Pretrained.commands}, found an unfinished one")
        self.blueprint = Blueprint.of_weights(folder)
        architecture, vocabulary = self.blueprint.architecture, self.blueprint.tokenizer.vocabulary
        if architecture.name != "bert" or MASK not in vocabulary:
            found = architecture.title if architecture.name != "bert" else f"a vocabulary without {MASK}"
            raise Mistake(f"{folder}: expected a BERT that was trained on masked words, found {found}")
        settings, _ = pretrained.read_config(folder)
        self.lineage: dict[str, Any] = settings.get("lineage") or {"options": {}}
        self.inputs = [fields for _, fields in self.task.inputs]
        self.labels: list[str] = []
        self.draw = None
        self.model = model_of(self.blueprint, {"objectives": "mlm", "seed": 0})
        new = self.blueprint.absent(self.model, folder, HEAD)
        if lacking := [layer for layer in new if layer in HEAD]:
            raise Mistake(
                f"{folder}: expected a run, or weights with BERT's head of masked words, found none of {', '.join(lacking)}"
            )
        self.blueprint.load(self.model, folder, ignore=new)

    def functions(self) -> dict[str, Any]:
        """Returns {signature: tf.function} from texts to what fills their masks, see `trainer.generation.masks`."""
        config: Any = self.blueprint.config
        trained = self.lineage.get("max_length", config.positions)  # those behind were not trained
        return masks.functions(self.model, self.blueprint.reader(min(config.positions, trained)))

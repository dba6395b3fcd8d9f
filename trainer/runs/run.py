"""A trained model from its run folder."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras

from trainer.data.schema import Row
from trainer.errors import Mistake, described
from trainer.options import Answering
from trainer.runs.blueprint import Blueprint
from trainer.runs.folder import method_of
from trainer.tasks.kind import Scorer
from trainer.tasks.kinds import kind_of
from trainer.tasks.parts import Parts
from trainer.tasks.setup import Setup
from trainer.tasks.table import BEAMS, LENGTH_PENALTY, TASKS
from trainer.text.tokenizer import Tokenizer
from trainer.weights import pretrained
from trainer.weights.unset import unset

# What `config.json` holds of a run's `Setup` and its reader, beside the labels
SETUP = (
    "fields",
    "max_length",
    "doc_stride",
    "max_answer_length",
    "null_threshold",
    "threshold",
    "decoder",
    "scheme",
    "beams",
    "length_penalty",
)


def read_labels(folder: Path, settings: dict[str, Any]) -> list[str]:
    """Returns a run's labels in the order of their numbers.

    Raises:
        Mistake: `labels.txt` and `config.json` do not say the same: answers would bear wrong names.
    """
    path = folder / "labels.txt"
    numbered = settings.get("id2label")
    if not isinstance(numbered, dict) or not all(key.isdecimal() for key in numbered):
        raise Mistake(f"{folder / 'config.json'}: expected id2label, the labels by their numbers, found none")
    labels = [numbered[number] for number in sorted(numbered, key=int)]
    if not labels:
        return []
    try:
        lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None
    if lines != labels:
        raise Mistake(f"{path}: expected {', '.join(labels)}, as in config.json, found {', '.join(lines) or 'nothing'}")
    return labels


def has_head(folder: str | Path, task_name: str, setup: Setup) -> bool:
    """Says whether a folder of weights is a run of a task with these labels, found in the same way: a further run can go on
    with its head."""
    folder = Path(folder)
    settings, _ = pretrained.read_config(folder)
    lineage = settings.get("lineage")
    if (
        not isinstance(lineage, dict)
        or lineage.get("task") != task_name
        or (setup.labels and not (folder / "labels.txt").is_file())
    ):
        return False
    return lineage.get("decoder") == setup.decoder and read_labels(folder, settings) == setup.labels


def settings_of_run(blueprint: Blueprint, task_name: str, setup: Setup, names: dict[str, str | None]) -> dict[str, Any]:
    """Returns the run's `config.json`: that of its initial weights, its task, and the names of its data and weights that mean
    something elsewhere; `Folder.start` adds its options."""
    values = {name: getattr(setup.reader if name == "max_length" else setup, name) for name in SETUP}
    settings = blueprint.architecture.to_settings(blueprint.config)
    family = blueprint.architecture.family
    if family:
        published = kind_of(setup.task, setup.decoder).transformers
        settings["architectures"] = [family + (published.model_class if published else "Model")]
        if published and published.problem_type:
            settings["problem_type"] = published.problem_type
    return settings | {
        "id2label": {str(i): label for i, label in enumerate(setup.labels)},
        "label2id": {label: i for i, label in enumerate(setup.labels)},
        "lineage": {"task": task_name}
        | {name: value for name, value in values.items() if value is not None}
        | {"names": names},
    }


def files_of_run(blueprint: Blueprint, setup: Setup) -> dict[str, str]:
    """Returns {name: content} of the files beside `config.json` that a run has from its first moment."""
    labels = {"labels.txt": "\n".join(setup.labels) + "\n"} if setup.labels else {}
    return tokenizer_files(blueprint.tokenizer) | labels


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, str]:
    """Returns {name: content} of the files of which a tokenizer is made again."""
    settings = pretrained.tokenizer_config(tokenizer.lower_case, tokenizer.unit, tokenizer.fallback)
    return {
        "vocab.txt": "\n".join(tokenizer.vocabulary) + "\n",
        "tokenizer_config.json": json.dumps(settings, indent=2) + "\n",
    }


class Run:
    """A trained model from its folder: `functions` map raw strings to decoded answers, here and in the exported graph.

    Args:
        folder: A finished run.
        **answering: Fields of `trainer.options.Answering`; they win over what the run says of its `Setup`, and over the best
            threshold that its dev data showed.

    Raises:
        Mistake: Not a finished run; or options of answering that are not for its task.
    """

    def __init__(self, folder: str | os.PathLike[str], **answering: Any) -> None:
        folder = Path(folder)
        if method_of(folder):
            raise Mistake(
                f"{folder}: expected a run of a task, received one of pretraining (finetune --init begins with it)"
            )
        state = _what_is(folder)
        if state != "a finished run":
            raise Mistake(f"{folder}: expected a finished run (written by `python -m trainer finetune`), found {state}")
        self.blueprint = Blueprint.of_weights(folder)
        self.settings, path = pretrained.read_config(folder)
        self.lineage = self.settings["lineage"]
        missing = [name for name in ("task", "max_length", "options") if name not in self.lineage]
        if missing or self.lineage["task"] not in TASKS:
            wrong = f"nothing of {', '.join(missing)}" if missing else f"the task {self.lineage['task']}"
            raise Mistake(f"{path}: expected what a run of this version writes, found {wrong}")
        self.task_name = self.lineage["task"]
        self.task = TASKS[self.task_name]
        decoder = self.lineage.get("decoder")
        if decoder is not None and decoder not in self.task.decoders:
            raise Mistake(f"{path}: expected what a run of this version writes, found the decoder {decoder}")
        self.kind = kind_of(self.task, decoder)
        options = Answering(**answering)
        options.check_answering()
        options.check_run(folder, self.task_name, self.task)
        try:
            result = pretrained.read_json(folder / "metrics.json")
        except (OSError, ValueError) as error:
            raise Mistake(described(error)) from None
        kept = "best" if self.lineage["options"].get("keep") == "best" else "final"
        self.scores = result.get("average") or result.get(kept) or {}  # of the weights that are kept
        self.setup = self._setup(read_labels(folder, self.settings), options.answering())
        self.labels = self.setup.labels
        self.fields = self.setup.fields  # of the rows that it was trained on
        trained = next(signature for signature, fields in self.task.inputs if fields == self.fields)
        self.inputs = [
            fields for signature, fields in self.task.inputs if fields == self.fields or signature != trained
        ]  # that it answers
        self.column = self.lineage["options"].get("column")
        self.model = self._build()
        self.blueprint.load(self.model, folder)
        draw = self.kind.draw
        self.draw: Callable[[Sequence[Row]], bytes] | None = draw and partial(draw, self.model, self.setup)

    def _setup(self, labels, answering):
        usual = {"beams": BEAMS, "length_penalty": LENGTH_PENALTY} if self.task.kind == "write" else {}
        values = {"fields": ["text"]} | usual | {name: self.lineage[name] for name in SETUP if name in self.lineage}
        found = {name: self.scores[name] for name in ("threshold", "null_threshold") if name in self.scores}
        values |= found | answering
        reader = self.blueprint.reader(values.pop("max_length"))
        return Setup(self.task, reader, tuple(values.pop("fields")), labels, **values)

    def functions(self) -> dict[str, Any]:
        """Returns {signature: tf.function} from strings to outputs: text -> pieces -> features -> logits -> answers."""
        return self.kind.functions(self.model, self.setup)

    def apart(self) -> tuple[keras.Model, Mapping[str, Parts]]:
        """Returns the model in the form for sequences one after the other in one row, and what stands around it, by signature; for
        a runtime that computes the model by itself.

        Raises:
            Mistake: The architecture has no such form, or the functions of the task do not fall apart.
        """
        if self.blueprint.architecture.joined is None:
            raise Mistake(
                f"expected a model that reads each text by itself (BERT), received {self.blueprint.architecture.title}"
            )
        if self.kind.parts is None:
            what = f"{self.task_name} --decoder {self.setup.decoder}" if self.setup.decoder else self.task_name
            raise Mistake(f"expected a task whose answers are found in one look of the model, received {what}")
        model = self._build(joined=True)
        for variable, trained in zip(model.variables, self.model.variables, strict=True):
            variable.assign(trained)
        return model, self.kind.parts(self.setup)

    def _build(self, *, joined: bool = False) -> keras.Model:
        setup = self.setup
        with unset():
            return self.blueprint.model(
                self.task, len(setup.labels), texts=len(self.fields), decoder=setup.decoder, joined=joined
            )

    def scorer(self, rows: Iterable[Row], batch_size: int, model: keras.Model | None = None) -> Scorer:
        """Returns the kind's `Scorer` of rows with gold values; `model`: another one that is called instead of this."""
        return self.kind.scorer(model or self.model, self.setup, list(rows), batch_size)


def _what_is(folder):
    """Returns what a folder is, in words."""
    if not (folder / "config.json").is_file():
        return "no run"
    try:
        settings = pretrained.read_json(folder / "config.json")
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None
    if not isinstance(settings.get("lineage"), dict):
        return "weights without what a run says of itself (as pretrained ones, or those that export_hf writes)"
    return "a finished run" if (folder / "metrics.json").is_file() else "an unfinished run"

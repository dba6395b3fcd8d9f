"""Every architecture by name: a row each."""

from pathlib import Path
from typing import Any, Protocol

import keras

from trainer.architectures import bert
from trainer.errors import Mistake
from trainer.weights import pretrained


class Architecture(Protocol):
    """What the module of an architecture has. A configuration is a dict that `config.json` holds; it has `model_type`, the
    architecture's name here, and `vocab_size`."""

    TITLE: str
    """For messages."""
    SIZES: dict[str, dict]
    """By name, what `configuration` takes; `default` is what the architecture's own name stands for."""
    OPENS_IN_TRANSFORMERS: bool
    """Whether transformers knows it by this configuration and these names of weights."""

    def configuration(self, size: dict, vocabulary_size: int) -> dict:
        """Returns the configuration of a new model."""

    def check(self, config: dict, path: Path) -> None:
        """Refuses a configuration that a file holds: ValueError, which names the file and the setting."""

    def with_dropout(self, config: dict, rate: float) -> dict:
        """Returns the configuration with this rate throughout."""

    def head_dropout(self, config: dict) -> float:
        """Returns the rate before the head."""

    def longest(self, config: dict) -> int | None:
        """Returns how long a sequence may be; None: as long as one likes."""

    def layers(self, config: dict) -> int:
        """Returns how many layers --freeze N counts."""

    def build(self, config: dict, wants: dict[str, Any], *, seed: int) -> keras.Model:
        """Returns the encoder: from `token_ids`, `segment_ids` [B, S] and `mask` [B, S] to a dict with `hidden_states`, a list of
        [B, S, D], the embeddings first, and `pooled` [B, D]; `wants`: {"pooled_only": True} where that is all that is read."""

    def depths(self, model: keras.Model, head_layers: tuple[str, ...]) -> dict[str, int]:
        """Returns {name of a layer of the model with its head: its depth}, for freezing and layer-wise decay."""

    def load(self, model: keras.Model, folder: Path, *, ignore=()) -> list[str]:
        """Sets the weights from a folder, as `trainer.weights.tensors.load`."""

    def to_bytes(self, model: keras.Model) -> bytes:
        """Returns the weights as the content of a `model.safetensors`."""


ARCHITECTURES: dict[str, Architecture] = {"bert": bert}


def of(config):
    """Returns the architecture of a configuration."""
    return ARCHITECTURES[config["model_type"]]


def named(model):
    """Returns (architecture, size) of what --model names: `bert-mini`, or a size of BERT's alone; `NAME` for its default size.

    Raises:
        Mistake: There is none of that name.
    """
    names = {}
    for name, architecture in ARCHITECTURES.items():
        names |= {f"{name}-{size}": (architecture, value) for size, value in architecture.SIZES.items()}
        if "default" in architecture.SIZES:
            names[name] = architecture, architecture.SIZES["default"]
    names |= {size: (bert, value) for size, value in bert.SIZES.items()}
    if model not in names:
        expected = ", ".join([*bert.SIZES, *(name for name in names if "-" not in name and name not in bert.SIZES)])
        raise Mistake(f"--model: expected one of {expected}, received {model}")
    return names[model]


def read_config(folder):
    """Returns the configuration of a folder of weights.

    Raises:
        FileNotFoundError, ValueError: No such file; no architecture of ours; a setting that it does not have.
    """
    config, path = pretrained.read_config(folder)
    ARCHITECTURES.get(config.get("model_type"), bert).check(config, path)
    return config

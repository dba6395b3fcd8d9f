"""BERT as an architecture: its settings are Hugging Face's, its weights bear Hugging Face's names; Google's are read, too."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import keras

from models import bert as builder
from trainer.architectures import base
from trainer.weights import bert as published
from trainer.weights import tensors


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """The arguments of `models.bert.bert`, and what else a file of settings says."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    feed_forward: int | None = None  # 4 * width
    positions: int = 512
    segments: int = 2
    activation: str = "gelu"
    attention_dropout: float = 0.1
    epsilon: float = 1e-12
    classifier_dropout: float | None = None  # None: as `dropout`
    others: dict[str, Any] = field(default_factory=dict)  # settings that the builder does not read


class Bert(base.Architecture[Config]):
    name, title, family = "bert", "BERT", "Bert"
    config_class = Config
    gives = ("pooled", "hidden_states", "pairs")
    optional = ("pooler",)  # a model of masked words alone has none
    prefix = published.PREFIX
    joined: ClassVar = {"packed": False, "joined": True}
    sizes: ClassVar = {
        "tiny": {"layers": 2, "width": 128, "heads": 2},
        "mini": {"layers": 4, "width": 256, "heads": 4},
        "small": {"layers": 4, "width": 512, "heads": 8},
        "medium": {"layers": 8, "width": 512, "heads": 8},
        "minilm": {"layers": 6, "width": 384, "heads": 12},
        "base": {"layers": 12, "width": 768, "heads": 12},
        "large": {"layers": 24, "width": 1024, "heads": 16},
    }

    def build(self, config: Config, wants: dict[str, Any], *, seed: int, packed: bool = True) -> keras.Model:
        arguments = asdict(config)
        for name in ("classifier_dropout", "others"):
            del arguments[name]
        return builder.bert(**arguments, **({"packed": packed} | wants), seed=seed)

    def to_settings(self, config: Config) -> dict[str, Any]:
        values = asdict(config) | {"feed_forward": config.feed_forward or 4 * config.width}
        settings: dict[str, Any] = {"vocab_size": config.vocabulary_size}
        settings |= {theirs: values[name] for theirs, name in published.ARGUMENTS.items()}
        if config.classifier_dropout is not None:
            settings["classifier_dropout"] = config.classifier_dropout
        return {"model_type": self.name, **config.others, **settings}

    def from_settings(self, settings: dict[str, Any], path: Path) -> Config:
        published.check_config(settings, path)
        read = {"model_type", "vocab_size", "classifier_dropout", *published.ARGUMENTS}
        return Config(
            vocabulary_size=settings["vocab_size"],
            classifier_dropout=settings.get("classifier_dropout"),
            others={name: value for name, value in settings.items() if name not in read},
            **{name: settings[theirs] for theirs, name in published.ARGUMENTS.items()},
        )

    def head_dropout(self, config: Config) -> float:
        return config.dropout if config.classifier_dropout is None else config.classifier_dropout

    def table(self, model: keras.Model) -> dict[str, tensors.Stored]:
        return published.table(model)

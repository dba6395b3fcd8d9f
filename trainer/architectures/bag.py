"""The bag of embeddings as an architecture."""

from dataclasses import dataclass
from typing import ClassVar

from models import bag as builder
from trainer.architectures import units


@dataclass(frozen=True, kw_only=True)
class Config(units.Config):
    """The arguments of `models.bag.bag`."""

    width: int = 256
    embedding_width: int = 300
    activation: str = "relu"
    dropout: float = 0.5


class Bag(units.Units[Config]):
    name, title = "bag", "bag of embeddings"
    builder = builder.bag
    config_class = Config
    sizes: ClassVar = {"bag": {}}
